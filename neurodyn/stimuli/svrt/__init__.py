"""The Synthetic Visual Reasoning Test: 23 problems of two classes each, and one more."""

from neurodyn.stimuli.svrt.contour import contours as contours
from neurodyn.stimuli.svrt.datasets import Images as Images
from neurodyn.stimuli.svrt.datasets import Stream as Stream
from neurodyn.stimuli.svrt.datasets import write_folders as write_folders
from neurodyn.stimuli.svrt.generate import describe as describe
from neurodyn.stimuli.svrt.generate import generate as generate
from neurodyn.stimuli.svrt.problem import Problem as Problem
from neurodyn.stimuli.svrt.problem import Stage as Stage
from neurodyn.stimuli.svrt.rules import PROBLEMS as PROBLEMS
