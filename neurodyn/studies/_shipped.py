"""Results that ship with the package."""

import json
from collections.abc import Mapping
from importlib.resources import as_file
from importlib.resources.abc import Traversable
from typing import Any

import xarray as xr

import neurodyn as nd


def shipped(place: Traversable, config: Mapping[str, Any]) -> xr.Dataset | None:
    """Return the results in a file, None if they are of other settings or there are none."""
    if not place.is_file():
        return None
    with as_file(place) as path:
        found = nd.load(path)
    assert isinstance(found, xr.Dataset)
    return found if json.loads(found.attrs["config"]) == json.loads(json.dumps(config)) else None
