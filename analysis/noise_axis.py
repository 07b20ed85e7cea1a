"""The axis of noise in pictures: a block for each type, a name for each level."""

from collections.abc import Hashable

import xarray as xr

from neurodyn.analysis.plots import TITLES


def noise_blocks(array: xr.DataArray, clean_in_all: bool = False) -> dict[str, list[Hashable]]:
    """Return the labels of noise by its type; "clean" apart, or in front of each type."""
    labels = array.noise.values.tolist()
    if "noise_type" not in array.coords:
        return {"": labels}
    kinds = array.noise_type.values.tolist()
    pairs = list(zip(labels, kinds, strict=True))
    blocks = {
        TITLES.get(kind, kind.replace("_", " ")).split(",")[0]: [
            label for label, k in pairs if k == kind
        ]
        for kind in dict.fromkeys(kinds)
    }
    if clean_in_all and "clean" in blocks and len(blocks) > 1:
        clean = blocks.pop("clean")
        blocks = {kind: [*clean, *labels] for kind, labels in blocks.items()}
    return blocks


def level_names(block: xr.DataArray) -> list[str]:
    """Return what columns are called: their level where there is one."""
    if "noise_level" in block.coords:
        return [f"{float(level):g}" for level in block.noise_level.values]
    return [str(label) for label in block.noise.values]
