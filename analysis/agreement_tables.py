"""Tables about global agreement: flips of layers, constants that were learnt, means of measures."""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from neurodyn.analysis.agreement_report import MISSING, printed
from neurodyn.analysis.report import Rows


def flip_table(found: Mapping[str, xr.Dataset]) -> Rows:
    """Return, for each case, similarities one and two steps back at the end, over samples.

    Means and counts are over samples of which both similarities are defined.
    """
    rows = [["case", "solver", "layer", "lag 1", "lag 2", "period 2 in"]]
    for case, data in found.items():
        last = data.isel(time=-1)
        for solver in data.solver.values:
            for layer in data.layer.values:
                here = last.sel(solver=solver, layer=layer)
                there = here.similarity.notnull().all("lag").values
                row = [case, str(solver), str(layer), MISSING, MISSING, MISSING]
                if there.any():
                    alike = here.similarity.sel(lag=[1, 2]).isel(sample=there).mean("sample")
                    row[3:5] = [f"{mean:.2f}" for mean in alike.values]
                    row[5] = f"{int(here.flips.sum())} of {there.sum()}"
                rows.append(row)
    return rows


def constants_table(result: xr.Dataset, names: Mapping[str, str]) -> Rows:
    """Return, for each way, the constants that its networks learnt: mean (least to largest).

    Parameters
    ----------
    result : Dataset
        Constants (way, seed) or (way, seed, layer); NaN where a way has none.
    names : mapping
        Which of them, and how they are headed. Ways of the same networks have one row.
    """
    columns: dict[str, xr.DataArray] = {}
    for name, heading in names.items():
        if "layer" in result[name].dims:
            there = result[name].dropna("layer", how="all")
            columns |= {f"{heading} {k}": there.sel(layer=k) for k in there.layer.values}
        else:
            columns[heading] = result[name]
    rows = [["way", *columns]]
    seen: list[np.ndarray] = []
    for way in result.way.values:
        values = np.array([column.sel(way=way).values for column in columns.values()])
        if np.isnan(values).all() or any(np.array_equal(values, v, equal_nan=True) for v in seen):
            continue
        seen.append(values)
        rows.append([str(way), *map(ranged, values)])
    return rows


def ranged(values: np.ndarray) -> str:
    """Return mean, least and largest as text; nothing if there are none.

    Examples
    --------
    >>> ranged(np.array([0.1, 0.2, 0.6])), ranged(np.array([np.nan, np.nan]))
    ('0.30 (0.10 to 0.60)', '')
    """
    if np.isnan(values).all():
        return ""
    return f"{values.mean():.2f} ({values.min():.2f} to {values.max():.2f})"


def means_table(here: xr.Dataset, names: Mapping[str, str]) -> Rows:
    """Return, for each way, means of measures and their intervals over seeds.

    Parameters
    ----------
    here : Dataset
        "mean_<name>" (way) and "mean_<name>_ci" (way, ci_bound), of one kind of scenes at one time;
        NaN where a way has none, which has no row.
    names : mapping
        Which measures, and how they are headed.
    """
    rows = [["way", *names.values()]]
    for way in here.way.values:
        line = here.sel(way=way)
        pairs = [(line[f"mean_{name}"].item(), line[f"mean_{name}_ci"].values) for name in names]
        if not all(np.isnan(mean) for mean, _ in pairs):
            rows.append([str(way), *(f"{printed(m)} {printed(*ends)}" for m, ends in pairs)])
    return rows
