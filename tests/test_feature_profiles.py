"""Feature profiles: known weights recovered, against statsmodels, and their cosine."""

import warnings

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from neurodyn.analysis.feature_profiles import compare_profiles, feature_profile

FEATURES = ["grammatical", "chunk_strength", "novelty"]


def material(seed: int = 0, items: int = 90) -> xr.Dataset:
    draw = np.random.default_rng(seed)
    return xr.Dataset(
        {
            "string": ("item", [f"X{i}" for i in range(items)]),
            "grammatical": ("item", np.arange(items) % 2 == 0),
            "chunk_strength": ("item", 5 + 2 * draw.normal(size=items)),
            "novelty": ("item", draw.integers(0, 4, size=items)),
        }
    )


def design(items: xr.Dataset) -> np.ndarray:
    x = np.stack([items[name].values.astype(float) for name in FEATURES], axis=1)
    return np.concatenate([np.ones((len(x), 1)), (x - x.mean(0)) / x.std(0)], axis=1)


def people(items: xr.Dataset, weights, subjects: int = 4, repeats: int = 20, seed: int = 0):
    draw = np.random.default_rng(seed)
    size = items.sizes["item"]
    item = np.tile(np.arange(size), subjects * repeats)
    chance = 1 / (1 + np.exp(-design(items)[item] @ np.array(weights)))
    y = (draw.random(len(item)) < chance).astype(float)
    kinds = items.grammatical.values[item].astype(float)
    columns = {
        "subject": np.repeat([f"s{s}" for s in range(subjects)], size * repeats),
        "item": items.string.values[item],
        "grammatical": kinds,
        "response": y,
        "correct": (y == kinds).astype(float),
    }
    return xr.Dataset({name: ("trial", values) for name, values in columns.items()})


def test_weights_of_people_and_networks_are_recovered() -> None:
    items, weights = material(), [0.2, 0.9, 0.5, -0.6]
    trials = people(items, weights)
    found = feature_profile(trials, items, FEATURES)
    assert found.weight.dims == ("subject", "term")
    assert np.allclose(found.weight, weights, atol=4 * 2.5 / np.sqrt(1800))
    assert np.allclose(found.pooled_weight, weights, atol=4 * 2.5 / np.sqrt(7200))
    assert found.answers.values.tolist() == [1800] * 4
    # a network that has these weights exactly, in another order and with one string twice
    order = np.r_[np.random.default_rng(1).permutation(90), 5]
    output = 1 / (1 + np.exp(-design(items)[order] @ np.array(weights)))
    network = xr.Dataset(
        {"output": (("family", "seed", "item"), np.stack([[output, 1 - output]] * 2))},
        {"string": ("item", items.string.values[order]), "grammatical": ("item", order % 2 == 0)},
    )
    exact = feature_profile(network, items, FEATURES, ridge=0)
    assert exact.weight.dims == ("family", "seed", "term")
    assert np.allclose(exact.weight[0, 0], weights, atol=1e-6)
    assert np.allclose(exact.weight[1, 1], np.negative(weights), atol=1e-6)
    assert "pooled_weight" not in exact
    similar = compare_profiles(found.weight, exact.weight)
    assert similar.cosine.dims == ("family",) and similar.seeds == 2 and similar.subjects == 4
    one = compare_profiles(found.weight, exact.weight.isel(seed=[0, 0]))
    assert (one.cosine > 0.99).all() and (one.distance < 0.15).all()
    opposite = compare_profiles(found.weight, exact.weight.isel(seed=1))
    assert (opposite.cosine < -0.99).all()


def test_pooled_errors_are_those_of_statsmodels_over_subjects() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sm = pytest.importorskip("statsmodels.api")
    items = material()
    trials = people(items, [0, 1, 0.2, 0], subjects=7, repeats=2)
    x, y = np.tile(design(items), (14, 1)), trials.response.values
    groups = np.unique(trials.subject.values, return_inverse=True)[1]
    fit = sm.Logit(y, x).fit(disp=0, cov_type="cluster", cov_kwds={"groups": groups})
    found = feature_profile(trials, items, FEATURES, ridge=0)
    assert np.allclose(found.pooled_weight, fit.params, atol=1e-7)
    assert np.allclose(found.pooled_weight_error, fit.bse, rtol=1e-5)
    for s in range(7):
        own = groups == s
        alone = sm.Logit(y[own], x[own]).fit(disp=0)
        assert np.allclose(found.weight[s], alone.params, atol=1e-6)
    for variable in found.data_vars.values():
        assert {"long_name", "units", "references"} <= set(variable.attrs)


def test_separated_answers_are_flagged_or_shrunk() -> None:
    items = material()
    network = items.set_coords("string").assign(output=items.grammatical.astype(float))
    assert feature_profile(network, items, FEATURES, ridge=0).flag == 1
    assert np.isnan(feature_profile(network, items, FEATURES, ridge=0).weight).all()
    shrunk = feature_profile(network, items, FEATURES)
    assert shrunk.flag == 0 and shrunk.attrs["ridge"] == 0.1
    assert shrunk.weight.sel(term="grammatical") > 10 * abs(shrunk.weight.sel(term="novelty"))


@given(st.floats(0.1, 50), st.floats(-20, 20), st.integers(0, 1000))
def test_units_of_a_feature_and_order_of_items_do_not_matter(scale, shift, seed: int) -> None:
    items = material(seed, 40)
    trials = people(items, [0, 0.5, 0.5, 0.5], subjects=2, repeats=2, seed=seed)
    order = np.random.default_rng(seed).permutation(40)
    other = items.assign(chunk_strength=items.chunk_strength * scale + shift).isel(item=order)
    one, two = (feature_profile(trials, i, FEATURES) for i in (items, other))
    assert np.allclose(one.weight, two.weight, atol=1e-6)


@given(arrays(float, (2, 3), elements=st.floats(0.1, 5)), st.floats(0.1, 10))
def test_cosine_and_distance(pair, factor: float) -> None:
    term = {"term": ["intercept", "a", "b"]}
    h, m = (xr.DataArray(v, term, dims="term") for v in pair)
    found, turned = compare_profiles(h, m), compare_profiles(m, h)
    a, b = pair[0, 1:], pair[1, 1:]
    assert np.isclose(found.cosine, a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    assert np.isclose(found.distance, np.linalg.norm(a - b))
    xr.testing.assert_allclose(found, turned)
    assert np.isclose(compare_profiles(h, factor * m).cosine, found.cosine)
    only = compare_profiles(h, m, terms=["intercept"])
    assert np.isclose(only.distance, abs(pair[0, 0] - pair[1, 0]))
    assert np.isnan(compare_profiles(h, 0 * m).cosine)


def test_refusals_say_what_is_there() -> None:
    items, trials = material(), people(material(), [0, 0, 0, 0], repeats=1)
    with pytest.raises(ValueError, match="no 'length' over the dimension item; there are: string"):
        feature_profile(trials, items, ["length"])
    with pytest.raises(ValueError, match="feature kind must hold numbers"):
        feature_profile(trials, items.assign(kind=items.string), ["kind"])
    with pytest.raises(ValueError, match="flat is the same for all strings"):
        feature_profile(trials, items.assign(flat=0 * items.novelty), ["flat"])
    with pytest.raises(ValueError, match="follows from the others"):
        feature_profile(trials, items.assign(twin=2 * items.novelty), ["novelty", "twin"])
    with pytest.raises(ValueError, match="without a number for some string: gap"):
        gap = items.chunk_strength.where(items.novelty > 0)
        feature_profile(trials, items.assign(gap=gap), ["gap"])
    with pytest.raises(ValueError, match="X0 occurs repeatedly with different features"):
        twice = items.assign(string=items.string.where(items.string != "X1", "X0"))
        feature_profile(trials, twice, FEATURES)
    with pytest.raises(ValueError, match="no answer is to a string of items"):
        feature_profile(trials.assign(item=trials["item"] + "T"), items, FEATURES)
    with pytest.raises(TypeError, match="features must be a list"):
        feature_profile(trials, items, "novelty")
    weight = feature_profile(trials, items, FEATURES).weight
    with pytest.raises(ValueError, match="network has no term length"):
        compare_profiles(weight.assign_coords(term=["intercept", "length", "b", "c"]), weight)
    with pytest.raises(ValueError, match="weights over the dimension term"):
        compare_profiles(weight.rename(term="feature"), weight)
