"""How the figures of the documentation look: those of a paper."""

from typing import Any

import matplotlib as mpl
from cycler import cycler

# Okabe & Ito (2008): told apart with any colour vision.
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"]


def apply(gallery: dict[str, Any], script: str) -> None:
    """Set matplotlib's defaults before each example."""
    mpl.rcParams.update(
        {
            "axes.prop_cycle": cycler(color=COLOURS),
            "axes.spines.right": False,
            "axes.spines.top": False,
            "axes.titlesize": 9,
            "figure.constrained_layout.use": True,
            "figure.dpi": 110,
            "figure.figsize": (7.2, 2.8),
            "font.size": 9,
            "image.cmap": "gray",
            "image.interpolation": "nearest",
            "legend.frameon": False,
            "lines.linewidth": 1.4,
            "lines.markersize": 4,
        }
    )
