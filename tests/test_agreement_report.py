"""The page about global agreement, on made-up answers where each claim holds, fails, is missing."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from neurodyn.analysis.agreement_report import (
    Subject,
    accuracy_table,
    claims,
    page,
    said_of,
    two_by_two,
    verdict_table,
)
from neurodyn.analysis.agreement_tables import constants_table, flip_table, means_table
from neurodyn.analysis.seeds import over_training_seeds

SUBJECT = Subject(
    name="Model",
    way="model",
    against=("cnn", "wide"),
    noisy=("noise", "broken"),
    clean="clean",
    trained=(0.0, 2.0),
    two_by_two={
        ("euler", "euler"): "model",
        ("euler", "adaptive"): "model, adaptive",
        ("rk4", "euler"): "by rk4",
        ("rk4", "adaptive"): "by rk4, adaptive",
    },
)
SCENES = ["clean", "noise", "broken"]
HUNDREDTHS = {
    "cnn": ([70, 71, 69], [70, 71, 69]),
    "wide": ([85, 75, 80], [50, 55, 45]),
    "model": ([80, 82, 78], [60, 58, 59]),
    "model, adaptive": ([80, 81, 79], [80, 79, 81]),
    "by rk4": ([81, 82, 80], [61, 60, 62]),
    "by rk4, adaptive": ([81, 82, 80], [80, 82, 81]),
}
"""Of 100 scenes those that are right at the last time, of each seed: clean, and under noise."""
START = dict.fromkeys(["model", "model, adaptive"], ([70, 71, 66], [60, 59, 58])) | dict.fromkeys(
    ["by rk4", "by rk4, adaptive"], ([60, 62, 61], [50, 51, 52])
)
"""The same at the first time, where it is not that of the last."""


def answers():
    """Scenes, ways, seeds, samples, times; "broken" is "noise" with a value lost for one seed."""
    every = []
    for way, ends in HUNDREDTHS.items():
        for first, last in zip(START.get(way, ends), ends, strict=True):
            counts = np.array([first, np.maximum(first, last), last]).T  # (seed, time)
            every.append(np.arange(100)[None, :, None] < counts[:, None])
    exact = np.array(every, dtype=float).reshape(len(HUNDREDTHS), 2, 3, 100, 3).swapaxes(0, 1)
    exact = np.concatenate([exact, exact[1:]])
    exact[2, list(HUNDREDTHS).index("model"), 1, 7] = np.nan
    return xr.DataArray(
        exact, dims=("scene", "way", "seed", "sample", "time"),
        coords={"scene": SCENES, "way": list(HUNDREDTHS), "seed": [0, 1, 2],
                "time": [0.0, 1.0, 2.0]},
    )  # fmt: skip


@pytest.fixture(scope="module")
def result():
    exact = answers()
    whole = over_training_seeds(xr.Dataset({"exact": exact}), reference="cnn")
    lost = exact.isnull().any(("sample", "seed")).isel(time=-1, drop=True)
    for name in ("accuracy", "accuracy_ci", "difference", "difference_ci"):
        whole[name] = whole[name].where(~lost)
    config = json.dumps({"images": 100, "seed": 5})
    return whole.assign_attrs(
        config=config, neurodyn_version="0", provenance="Made up", solver="euler, bosh3"
    )


def paired(a, b=(0, 0, 0)):
    """Say by scipy what the difference of two ways, in hundredths, is."""
    test = stats.ttest_rel(np.divide(a, 100), np.divide(b, 100))
    low, high = test.confidence_interval(0.95)
    word = "no reliable difference" if low <= 0 <= high else "higher" if low > 0 else "lower"
    return f"{np.subtract(a, b).mean() / 100:+.3f} [{low:+.3f}, {high:+.3f}] {word}"


def test_claims_hold_fail_or_are_missing(result):
    (clean, noise), cnn = HUNDREDTHS["model"], HUNDREDTHS["cnn"]
    wide, start = HUNDREDTHS["wide"], START["model"]
    said = claims(result, SUBJECT)
    assert said[:2] == [
        f"**More accurate than {name}?** clean: {paired(clean, other[0])}; "
        f"noise: {paired(noise, other[1])}; broken: missing."
        for name, other in (("cnn", cnn), ("wide", wide))
    ]
    assert said[0].count("higher") == said[0].count("lower") == 1
    assert "clean: +0.000 [" in said[1] and "no reliable difference; noise:" in said[1]
    gains = [np.subtract(clean, cnn[0]), np.subtract(noise, cnn[1])]
    assert said[2].startswith("**More robust to noise?** What Model gains over cnn under noise")
    assert said[2].endswith(f"clean: noise: {paired(gains[1], gains[0])}; broken: missing.")
    assert paired(gains[1], gains[0]).endswith("lower")
    assert said[3] == (
        f"**Does accuracy grow over time?** t=2 minus t=0: clean: {paired(clean, start[0])}; "
        f"noise: {paired(noise, start[1])}; broken: missing."
    )
    assert "higher; noise: +0.000" in said[3] and len(said) == 4


def test_claims_and_verdicts_are_about_the_last_trained_time(result):
    """Judged at t=1, a record up to t=2 says what one that ends there says."""
    early = replace(SUBJECT, trained=(0.0, 1.0))
    short = result.isel(time=slice(0, 2))
    assert claims(result, early) == claims(short, SUBJECT) != claims(result, SUBJECT)
    assert accuracy_table(result, early)[0][5] == "t=1"
    later = [row[5:] for row in accuracy_table(result, early)]
    assert later == [row[5:] for row in accuracy_table(short, SUBJECT)]
    xr.testing.assert_identical(two_by_two(result, early), two_by_two(short, SUBJECT))
    grows = claims(result, replace(SUBJECT, trained=(1.0, 2.0)))[-1]
    assert "t=2 minus t=1: clean: +0.000" in grows


def test_said_of_a_difference():
    def of(*gaps):
        return said_of(xr.DataArray(list(gaps), dims="seed"))

    assert of(-0.1, -0.11, -0.12) == paired([-10, -11, -12])
    assert of(0.1, 0.1, 0.1) == "+0.100, the same for every seed"
    assert of(0.1, np.nan, 0.1) == of(*[np.nan] * 3) == "missing"


def test_the_page_counts_the_comparisons_that_it_makes(result):
    text = page(result, SUBJECT, "Title", "Setting.", "More.", [("Caption", "a.png")])
    (number,) = re.findall(r"with (\d+) comparisons", text)
    sentences = re.findall(r"^- (\*\*.*)$", text, re.MULTILINE)
    assert sentences == claims(result, SUBJECT)
    assert int(number) == sum(sentence.count(";") + 1 for sentence in sentences)
    assert int(number) == 3 * 2 + 2 + 3  # scenes x controls, noisy scenes, scenes over time
    assert text.startswith("# Title") and "![Caption](a.png)" in text
    assert "100 scenes of each kind" in text and "scene seed 5" in text


def test_accuracies(result):
    heading, *rows = accuracy_table(result, SUBJECT)
    assert heading[5:] == ["t=2", "95% over seeds", "t=2 minus cnn", "95% over seeds",
                           "so accuracy is"]  # fmt: skip
    table = {(row[0], row[1]): row[2:] for row in rows}
    assert len(table) == 3 * 6
    low, high = stats.t.interval(0.95, 2, loc=0.8, scale=stats.sem([0.8, 0.82, 0.78]))
    difference, bounds, word = re.fullmatch(
        r"(\S+) (\[.*\]) (.*)", paired(HUNDREDTHS["model"][0], HUNDREDTHS["cnn"][0])
    ).groups()
    assert table["clean", "model"] == [
        "0.690", "0.800", "1", "0.800", f"[{low:.3f}, {high:.3f}]", difference, bounds, word,
    ]  # fmt: skip
    assert table["noise", "model"][-1] == "lower"
    assert table["noise", "model"][1:3] == ["0.593", "1"]  # the best of all times
    assert table["clean", "cnn"][-3:] == ["", "", ""]
    assert table["broken", "model"] == ["missing"] * 8
    assert table["broken", "cnn"] == table["noise", "cnn"]


def test_verdicts(result):
    heading, *rows = verdict_table(two_by_two(result, SUBJECT))
    assert heading[1] == "verdict"
    assert [row[:2] for row in rows] == [
        ["clean", "dynamics"], ["noise", "step"], ["broken", "undecided"]
    ]  # fmt: skip
    euler, rk4 = (
        paired(HUNDREDTHS[f"{way}"][1], HUNDREDTHS[f"{way}, adaptive"][1]).rsplit(" ", 1)[0]
        for way in ("model", "by rk4")
    )
    assert rows[1][2] == (
        f"trained with euler: {euler}; trained with rk4: {rk4}; both exclude 0, on the same side"
    )
    assert rows[2][2].endswith("a value is missing")
    euler, rk4 = (
        paired(HUNDREDTHS[f"{way}, adaptive"][0], START[f"{way}, adaptive"][0]).rsplit(" ", 1)[0]
        for way in ("model", "by rk4")
    )
    assert rows[0][2].endswith(
        f"t minus t=0: trained with euler: {euler}; trained with rk4: {rk4}; time changes accuracy "
        "in both rows"
    )


def test_where_time_changes_nothing_there_is_no_dynamics(result):
    last = result.exact.isel(time=-1, drop=True)
    still = result.assign(exact=result.exact.where(result.time > 0, last))
    assert two_by_two(still, SUBJECT).verdict.values.tolist() == [
        "no effect of time", "step", "undecided"
    ]  # fmt: skip
    text = page(result, SUBJECT, "Title", "Setting.")
    assert "and what changes from t=0 to\nt=2, by the adaptive solver" in text


def test_constants_have_one_row_for_each_set_of_networks():
    nan = [np.nan] * 2
    modulation = np.full((4, 2, 3), np.nan)
    modulation[:3, :, 1:] = [[0.5, 0.6], [0.7, 0.8]]
    result = xr.Dataset(
        {
            "epsilon": (("way", "seed"), [[0.1, 0.2], [0.1, 0.2], nan, nan]),
            "modulation": (("way", "seed", "layer"), modulation),
        },
        {"way": ["own", "own, adaptive", "frozen", "cnn"], "layer": ["a", "b", "c"]},
    )
    assert constants_table(result, {"epsilon": "e", "modulation": "m"}) == [
        ["way", "e", "m b", "m c"],
        ["own", "0.15 (0.10 to 0.20)", "0.60 (0.50 to 0.70)", "0.70 (0.60 to 0.80)"],
        ["frozen", "", "0.60 (0.50 to 0.70)", "0.70 (0.60 to 0.80)"],
    ]


def test_means_are_of_ways_that_have_them():
    here = xr.Dataset(
        {
            "mean_gap": ("way", [3.0, np.nan]),
            "mean_gap_ci": (("way", "ci_bound"), [[2.5, 3.5], [np.nan, np.nan]]),
        },
        {"way": ["phases", "cnn"]},
    )
    assert means_table(here, {"gap": "apart"}) == [
        ["way", "apart"], ["phases", "3.000 [2.500, 3.500]"]
    ]  # fmt: skip


def test_flips():
    """Two layers, three samples; of the second layer one sample, or all, have no similarity."""
    dims = ("solver", "lag", "layer", "sample", "time")
    similarity = np.full((2, 2, 2, 3, 4), 9.0)
    similarity[0, 0, :, :, -1], similarity[0, 1, :, :, -1] = -0.5, [0.8, 0.9, 1.0]
    similarity[1, ..., -1] = 1.0
    similarity[0, 0, 1, 2, -1] = np.nan
    similarity[1, :, 1, :, -1] = np.nan
    flips = np.zeros((2, 2, 3), dtype=bool)
    flips[0, 0, 1:] = flips[0, 1, 1] = True
    data = xr.Dataset(
        {"similarity": (dims, similarity), "flips": (("solver", "layer", "sample"), flips)},
        {"solver": ["euler", "adaptive"], "lag": [1, 2], "layer": ["a", "b"]},
    )
    assert flip_table({"case": data})[1:] == [
        ["case", "euler", "a", "-0.50", "0.90", "2 of 3"],
        ["case", "euler", "b", "-0.50", "0.85", "1 of 2"],
        ["case", "adaptive", "a", "1.00", "1.00", "0 of 3"],
        ["case", "adaptive", "b", "missing", "missing", "missing"],
    ]
