"""What the networks see: made from a seed or shipped with the package, never downloaded."""

from neurodyn.stimuli.digits import digits as digits
from neurodyn.stimuli.noise import gaussian as gaussian
from neurodyn.stimuli.noise import salt_pepper as salt_pepper
