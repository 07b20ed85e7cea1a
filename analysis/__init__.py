"""Dataset in, Dataset out: measures of recorded runs, in numpy, scipy and xarray.

Nothing here knows a model; what counts is the names of the dimensions and the units.
"""

from neurodyn.analysis.accuracy import accuracy as accuracy
from neurodyn.analysis.accuracy import paired_difference as paired_difference
from neurodyn.analysis.analytic import analytic_signal as analytic_signal
from neurodyn.analysis.binding import binding_quality as binding_quality
from neurodyn.analysis.binding import cluster_phases as cluster_phases
from neurodyn.analysis.circular import circular_statistics as circular_statistics
from neurodyn.analysis.groups import group_synchrony as group_synchrony
from neurodyn.analysis.locking import PhaseLocking as PhaseLocking
from neurodyn.analysis.locking import phase_locking as phase_locking
from neurodyn.analysis.metastability import metastability as metastability
from neurodyn.analysis.order import local_order as local_order
from neurodyn.analysis.order import order_parameter as order_parameter
from neurodyn.analysis.phase_plots import accuracy_and_synchrony as accuracy_and_synchrony
from neurodyn.analysis.phase_plots import phase_film as phase_film
from neurodyn.analysis.phase_plots import phase_strip as phase_strip
from neurodyn.analysis.plots import accuracy_over_time as accuracy_over_time
from neurodyn.analysis.seeds import over_training_seeds as over_training_seeds
from neurodyn.analysis.seeds import seed_interval as seed_interval
from neurodyn.analysis.surrogates import surrogate_test as surrogate_test
from neurodyn.analysis.waves import travelling_waves as travelling_waves
