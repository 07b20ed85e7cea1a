"""Dataset in, Dataset out: measures of recorded runs, in numpy, scipy and xarray.

Nothing here knows a model; what counts is the names of the dimensions and the units.
"""

from neurodyn.analysis.accuracy import accuracy as accuracy
from neurodyn.analysis.accuracy import paired_difference as paired_difference
from neurodyn.analysis.agent_curves import accuracy_of_agents as accuracy_of_agents
from neurodyn.analysis.analytic import analytic_signal as analytic_signal
from neurodyn.analysis.bayes_anova import bayes_anova as bayes_anova
from neurodyn.analysis.bayes_factors import bayes_correlation as bayes_correlation
from neurodyn.analysis.bayes_factors import bayes_t_test as bayes_t_test
from neurodyn.analysis.behaviour import compare as compare
from neurodyn.analysis.behaviour_plots import advantage as advantage
from neurodyn.analysis.behaviour_plots import agent_curves as agent_curves
from neurodyn.analysis.behaviour_plots import similarity as similarity
from neurodyn.analysis.binding import binding_quality as binding_quality
from neurodyn.analysis.binding import cluster_phases as cluster_phases
from neurodyn.analysis.choice_history import choice_history as choice_history
from neurodyn.analysis.choice_models import choice_likelihood as choice_likelihood
from neurodyn.analysis.circular import circular_statistics as circular_statistics
from neurodyn.analysis.closest_network import closest_network as closest_network
from neurodyn.analysis.cluster_bootstrap import bootstrap_statistic as bootstrap_statistic
from neurodyn.analysis.cluster_bootstrap import cluster_bootstrap as cluster_bootstrap
from neurodyn.analysis.curve_distance import curve_distance as curve_distance
from neurodyn.analysis.detection import signal_detection as signal_detection
from neurodyn.analysis.endorsement import endorsement as endorsement
from neurodyn.analysis.error_consistency import error_consistency as error_consistency
from neurodyn.analysis.feature_profiles import compare_profiles as compare_profiles
from neurodyn.analysis.feature_profiles import feature_profile as feature_profile
from neurodyn.analysis.groups import group_synchrony as group_synchrony
from neurodyn.analysis.item_correlation import item_correlation as item_correlation
from neurodyn.analysis.item_measures import item_measures as item_measures
from neurodyn.analysis.item_table import item_outputs as item_outputs
from neurodyn.analysis.item_table import item_responses as item_responses
from neurodyn.analysis.learning_curves import accuracy_by_length as accuracy_by_length
from neurodyn.analysis.learning_curves import learning_curve as learning_curve
from neurodyn.analysis.locking import PhaseLocking as PhaseLocking
from neurodyn.analysis.locking import phase_locking as phase_locking
from neurodyn.analysis.logistic import logistic_regression as logistic_regression
from neurodyn.analysis.logistic import mixed_logistic_regression as mixed_logistic_regression
from neurodyn.analysis.metastability import metastability as metastability
from neurodyn.analysis.order import local_order as local_order
from neurodyn.analysis.order import order_parameter as order_parameter
from neurodyn.analysis.phase_plots import accuracy_and_synchrony as accuracy_and_synchrony
from neurodyn.analysis.phase_plots import phase_film as phase_film
from neurodyn.analysis.phase_plots import phase_strip as phase_strip
from neurodyn.analysis.plots import accuracy_over_time as accuracy_over_time
from neurodyn.analysis.questionnaire import score_selections as score_selections
from neurodyn.analysis.readers import read_trials as read_trials
from neurodyn.analysis.seeds import over_training_seeds as over_training_seeds
from neurodyn.analysis.seeds import seed_interval as seed_interval
from neurodyn.analysis.surrogates import surrogate_test as surrogate_test
from neurodyn.analysis.trials import TrialsError as TrialsError
from neurodyn.analysis.trials import trial_table as trial_table
from neurodyn.analysis.waves import travelling_waves as travelling_waves
from neurodyn.analysis.write_bids import write_bids as write_bids
