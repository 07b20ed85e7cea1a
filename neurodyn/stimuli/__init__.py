"""What the networks see: made from a seed or shipped; nothing is downloaded unasked."""

from neurodyn.stimuli import grammar as grammar
from neurodyn.stimuli import hexominoes as hexominoes
from neurodyn.stimuli import svrt as svrt
from neurodyn.stimuli.backgrounds import Pictures as Pictures
from neurodyn.stimuli.backgrounds import read_cifar as read_cifar
from neurodyn.stimuli.backgrounds import read_images as read_images
from neurodyn.stimuli.cifar_sets import Arrays as Arrays
from neurodyn.stimuli.cifar_sets import cifar_c as cifar_c
from neurodyn.stimuli.cifar_sets import cifar_labelled as cifar_labelled
from neurodyn.stimuli.corrupt import CORRUPTIONS as CORRUPTIONS
from neurodyn.stimuli.corrupt import corrupt as corrupt
from neurodyn.stimuli.digits import digits as digits
from neurodyn.stimuli.fashion import fashion_mnist as fashion_mnist
from neurodyn.stimuli.folders import ImageFolder as ImageFolder
from neurodyn.stimuli.folders import imagenet as imagenet
from neurodyn.stimuli.folders import imagenet_c as imagenet_c
from neurodyn.stimuli.grammar_items import stimulus_set as stimulus_set
from neurodyn.stimuli.items import Items as Items
from neurodyn.stimuli.items import read_items as read_items
from neurodyn.stimuli.natural import backgrounds as backgrounds
from neurodyn.stimuli.noise import gaussian as gaussian
from neurodyn.stimuli.noise import salt_pepper as salt_pepper
from neurodyn.stimuli.objects import Scenes as Scenes
from neurodyn.stimuli.objects import SceneStream as SceneStream
from neurodyn.stimuli.objects import multi_digits as multi_digits
from neurodyn.stimuli.photographs import photographs as photographs
