"""The experiment for people: a page for the browser, written from the same strings as the rest."""

from neurodyn.experiment.page import experiment

__all__ = ["experiment"]
