"""Brain dynamics inside convolutional networks, as ordinary differential equations."""

__version__ = "0.1.0"

from neurodyn import stimuli as stimuli
from neurodyn.adapter import SolverError as SolverError
from neurodyn.adapter import SolverStats as SolverStats
from neurodyn.agreement import GlobalAttention as GlobalAttention
from neurodyn.classifier import as_classifier as as_classifier
from neurodyn.dynamics import Dynamics as Dynamics
from neurodyn.dynamics import bind as bind
from neurodyn.film import Film as Film
from neurodyn.kuramoto import Kuramoto as Kuramoto
from neurodyn.lyapunov import lyapunov as lyapunov
from neurodyn.phase_agreement import PhaseAgreement as PhaseAgreement
from neurodyn.predictive_coding import PredictiveCoding as PredictiveCoding
from neurodyn.record import load as load
from neurodyn.record import save as save
from neurodyn.record import simulate as simulate
from neurodyn.recurrent_attention import RecurrentAttention as RecurrentAttention
from neurodyn.solve import Solution as Solution
from neurodyn.solve import integrate as integrate
from neurodyn.sphere import SphereOscillators as SphereOscillators
from neurodyn.stability import step_limit as step_limit
from neurodyn.variable import Variable as Variable
