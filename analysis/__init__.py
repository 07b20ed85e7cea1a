"""Dataset in, Dataset out: measures of recorded runs, in numpy, scipy and xarray.

Nothing here knows a model; what counts is the names of the dimensions and the units.
"""

from neurodyn.analysis.accuracy import accuracy as accuracy
from neurodyn.analysis.accuracy import paired_difference as paired_difference
from neurodyn.analysis.plots import accuracy_over_time as accuracy_over_time
