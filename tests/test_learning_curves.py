"""Learning curves, their distance and the closest network: against loops and dense integrals."""

import json

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import neurodyn as nd
from neurodyn.analysis.closest_network import closest_network
from neurodyn.analysis.curve_distance import area_between, curve_distance
from neurodyn.analysis.learning_curves import accuracy_by_length, learning_curve
from neurodyn.analysis.trials import trial_table


def people(counts=(480, 560, 460, 459, 130), *, seed=0, missing=0.05) -> xr.Dataset:
    """Trials in a shuffled table: practice first, then learning in blocks of 60, then explicit."""
    rng = np.random.default_rng(seed)
    parts = []
    for s, n in enumerate(counts):
        phase = np.array(["practice"] * 5 + ["implicit"] * n + ["explicit"] * 7)
        correct = rng.choice([1.0, 0.0, np.nan], n + 12, p=[0.6, 0.4 - missing, missing])
        parts.append(
            xr.Dataset(
                {
                    "subject": ("trial", np.full(n + 12, f"s{s}")),
                    "session": ("trial", np.full(n + 12, "")),
                    "phase": ("trial", phase),
                    "block": ("trial", np.r_[np.full(5, np.nan), 1.0 + np.arange(n + 7) // 60]),
                    "position": ("trial", 1.0 + np.arange(n + 12)),
                    "grammar": ("trial", np.full(n + 12, "AB"[s % 2])),
                    "correct": ("trial", correct),
                    "response": ("trial", correct),
                }
            )
        )
    trials = xr.concat(parts, "trial")
    return trials.isel(trial=rng.permutation(trials.sizes["trial"]))


def learnt(trials: xr.Dataset, subject: str) -> list[float]:
    """The correct column of one subject's learning trials, in the order seen; plain Python."""
    rows = zip(
        trials.subject.values, trials.phase.values, trials.position.values, trials.correct.values,
        strict=True,
    )  # fmt: skip
    mine = [(p, c) for s, phase, p, c in rows if s == subject and phase == "implicit"]
    return [c for _, c in sorted(mine, key=lambda pair: pair[0])]


def mean_of(values: list[float]) -> float:
    known = [v for v in values if v == v]
    return sum(known) / len(known) if known else float("nan")


def test_windows_of_the_paper_against_a_loop() -> None:
    trials = people()
    found = learning_curve(trials)
    assert found.n_seen.values.tolist() == [100, 200, 300, 400, 500]
    for subject in found.subject.values:
        values = learnt(trials, subject)
        for k in (100, 200, 300, 400):
            window = [values[t - 1] for t in range(k - 19, k + 21) if t <= len(values)]
            expected = mean_of(window) if len(window) == 40 else float("nan")
            here = found.sel(subject=subject, n_seen=k)
            np.testing.assert_allclose(here.accuracy, expected)
            answered = sum(v == v for v in window) if len(window) == 40 else 0
            assert here.n_trials == answered
        last = mean_of(values[:500][-40:]) if len(values) >= 460 else float("nan")
        np.testing.assert_allclose(found.accuracy.sel(subject=subject, n_seen=500), last)
    assert np.isnan(found.accuracy.sel(subject="s4")).values.tolist() == [False] + [True] * 4
    assert found.grammar.values.tolist() == list("ABABA")
    assert found.attrs["provenance"] == "paper" and "last 40" in found.attrs["windows"]


def test_the_last_window_of_480_trials_lies_within_block_8() -> None:
    """Only trials 441 to 480 are right: seen at 500, and by no other window."""
    trials = people((480,), missing=0)
    rank = trials.position - 5
    trials["correct"] = ((rank > 440) & (rank <= 480)).astype(float)
    assert learning_curve(trials).accuracy.values.tolist() == [[0, 0, 0, 0, 1]]
    by_block = learning_curve(trials, "blocks")
    assert by_block.accuracy.sel(block=8).item() == pytest.approx(40 / 60)
    assert (by_block.accuracy.sel(block=slice(1, 7)) == 0).all()
    assert by_block.n_seen.values.tolist() == [30 + 60 * b for b in range(8)]


@given(
    counts=st.lists(st.integers(1, 60), min_size=1, max_size=4),
    width=st.integers(1, 25),
    seed=st.integers(0, 999),
)
def test_windows_of_any_width_against_a_loop(counts, width, seed) -> None:
    trials = people(tuple(counts), seed=seed, missing=0.3)
    if max(counts) < width:
        with pytest.raises(ValueError, match="too few for any window"):
            learning_curve(trials, width)
        return
    found = learning_curve(trials, width)
    assert found.sizes == {"subject": len(counts), "n_seen": max(counts) // width}
    for s, n in enumerate(counts):
        values = learnt(trials, f"s{s}")
        for j in range(max(counts) // width):
            window = values[j * width : (j + 1) * width]
            expected = mean_of(window) if len(window) == width else float("nan")
            here = found.accuracy.sel(subject=f"s{s}", n_seen=(j + 0.5) * width)
            np.testing.assert_allclose(here, expected)
        assert len(values) == n


def test_blocks_against_means_of_groups() -> None:
    trials = people()
    frame = trials.to_dataframe()
    frame = frame[frame.phase == "implicit"]
    expected = frame.groupby(["subject", "block"]).correct.mean().to_xarray()
    found = learning_curve(trials, "blocks")
    np.testing.assert_allclose(found.accuracy, expected.transpose("subject", "block"))
    explicit = learning_curve(trials, 7, phases=("explicit",))
    assert explicit.n_seen.values.tolist() == [3.5]


def test_sessions_follow_each_other_as_in_the_table() -> None:
    trials = xr.Dataset(
        {
            "subject": ("trial", ["a"] * 4),
            "session": ("trial", ["two", "two", "one", "one"]),
            "position": ("trial", [2.0, 1.0, 1.0, 2.0]),
            "correct": ("trial", [0.0, 1.0, 1.0, 0.5]),
            "response": ("trial", [1.0] * 4),
        }
    )
    assert learning_curve(trials, 1).accuracy.values.tolist() == [[1, 0, 1, 0.5]]


def test_sessions_are_each_subject_s_own() -> None:
    """Subject a's file of session 2 comes first; b was in session 1 before session 2."""
    rows = [("a", "2", 1), ("a", "2", 1), ("b", "1", 0), ("b", "1", 0), ("b", "2", 1),
            ("b", "2", 1), ("a", "1", 0), ("c", "1", 1), ("c", "3", 0)]  # fmt: skip
    subject, session, correct = zip(*rows, strict=True)
    seen: dict[str, list[int]] = {}
    for who, _, right in rows:  # each subject's rows stand in the order seen
        seen.setdefault(who, []).append(right)
    trials = trial_table(
        {"subject": subject, "session": session, "correct": correct, "grammatical": 1}
    )
    curve = learning_curve(trials, 1).accuracy
    for who, expected in seen.items():
        assert curve.sel(subject=who).dropna("n_seen").values.tolist() == expected
    blocks = trials.assign(block=("trial", [1.0, 1, 1, 1, 2, 2, 2, 1, 2]))
    assert learning_curve(blocks, "blocks").n_seen.values.tolist() == [0.9, 2.5]


def test_curves_refuse_what_has_no_order() -> None:
    trials = people((50,))
    with pytest.raises(ValueError, match="has 50 trials, too few for any window of 'paper'"):
        learning_curve(trials)
    with pytest.raises(ValueError, match="windows must be 'paper', 'blocks' or a number"):
        learning_curve(trials, "weeks")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="two trials at the same position"):
        learning_curve(xr.concat([trials, trials], "trial"), 10)
    with pytest.raises(ValueError, match="position is missing in row"):
        learning_curve(trials.assign(position=trials.position * np.nan), 10)
    with pytest.raises(ValueError, match=r"no trial of the phases \['test'\]"):
        learning_curve(trials, 10, phases=("test",))
    mixed = trials.assign(grammar=("trial", ["A", "B"] * 31))
    with pytest.raises(ValueError, match="subject 's0' has the grammars"):
        learning_curve(mixed, 10)
    with pytest.raises(ValueError, match="needs trials"):
        learning_curve(xr.Dataset({"output": (("seed", "item"), np.zeros((1, 2)))}))


def test_accuracy_by_length_of_people_and_networks() -> None:
    rng = np.random.default_rng(0)
    n = 300
    strings = np.array(["", "XV", "XVJ", "XVJT"])[rng.integers(0, 4, n)]
    correct = rng.choice([1.0, 0.0, np.nan], n)
    trials = xr.Dataset(
        {
            "subject": ("trial", rng.choice(["a", "b"], n)),
            "item": ("trial", strings),
            "correct": ("trial", correct),
            "response": ("trial", correct),
        }
    )
    found = accuracy_by_length(trials)
    assert found.length.values.tolist() == [2, 3, 4]
    for s in "ab":
        for k in (2, 3, 4):
            values = [
                c
                for c, i, who in zip(correct, strings, trials.subject.values, strict=True)
                if who == s and len(i) == k
            ]
            here = found.sel(subject=s, length=k)
            assert here.accuracy.item() == pytest.approx(mean_of(values))
            assert here.n_trials == sum(v == v for v in values)
    output, kind, length = rng.random((2, 3, 50)), rng.random(50) < 0.5, rng.integers(4, 7, 50)
    answers = xr.Dataset(
        {"output": (("seed", "n_seen", "item"), output)},
        {"grammatical": ("item", kind), "length": ("item", length)},
    )
    found = accuracy_by_length(answers, threshold=0.4)
    right = (output > 0.4) == kind
    for k in (4, 5, 6):
        np.testing.assert_allclose(found.accuracy.sel(length=k), right[..., length == k].mean(-1))
    pooled = accuracy_by_length(answers, by=(), threshold=0.4)
    assert pooled.accuracy.sel(length=5).item() == pytest.approx(right[..., length == 5].mean())


# distance ---------------------------------------------------------------------------------------


@given(
    d=hnp.arrays(float, st.integers(2, 7), elements=st.floats(-1, 1)),
    seed=st.integers(0, 999),
)
def test_area_against_dense_integration(d, seed) -> None:
    x = np.cumsum(np.random.default_rng(seed).uniform(0.5, 2, len(d)))
    fine = np.linspace(x[0], x[-1], 200_001)
    between = np.abs(np.interp(fine, x, d))
    dense = ((between[1:] + between[:-1]) / 2).mean()
    assert area_between(x, d) == pytest.approx(dense, abs=1e-5)
    assert area_between(x, d) <= np.abs(d).max() + 1e-12


def curve(values, dims=("n_seen",), **coords) -> xr.DataArray:
    values = np.asarray(values, float)
    n_seen = 100.0 * np.arange(1, values.shape[-1] + 1)
    return xr.DataArray(values, {"n_seen": n_seen, **coords}, dims=dims)


def test_distances_of_constructed_curves() -> None:
    human, network = curve([0.5, 0.6, 0.7, 0.8]), curve([0.6, 0.5, 0.7, 0.4])
    # differences -.1, .1, 0, .4: pieces .05, .05, .2 (mean heights) over three equal widths
    found = curve_distance(human, network)
    assert found.area.item() == pytest.approx((0.05 + 0.05 + 0.2) / 3)
    assert found.signed_area.item() == pytest.approx((0 + 0.05 + 0.2) / 3)
    assert found.rmse.item() == pytest.approx(np.sqrt((0.01 + 0.01 + 0 + 0.16) / 4))
    assert found.max_gap.item() == pytest.approx(0.4)
    without = curve_distance(human, network, exclude=400)
    assert without.area.item() == pytest.approx((0.05 + 0.05) / 2)
    assert without.max_gap.item() == pytest.approx(0.1)
    assert json.loads(without.attrs["excluded"]) == [400] and without.n_points == 3
    back = curve_distance(network, human)
    assert back.area.item() == pytest.approx(found.area.item())
    assert back.signed_area.item() == pytest.approx(-found.signed_area.item())


def test_distance_broadcasts_sorts_and_keeps_labels() -> None:
    rng = np.random.default_rng(0)
    human = curve(rng.random((3, 5)), ("subject", "n_seen"), subject=["a", "b", "c"])
    network = curve(rng.random((2, 4, 5)), ("family", "seed", "n_seen"), family=["ff", "rr"])
    found = curve_distance(human, network)
    assert found.area.sizes == {"subject": 3, "family": 2, "seed": 4}
    one = curve_distance(human.sel(subject="b"), network.sel(family="rr").isel(seed=3))
    assert found.area.sel(subject="b", family="rr").isel(seed=3).item() == one.area.item()
    turned = curve_distance(
        human.isel(n_seen=[3, 1, 0, 2, 4]), network.isel(n_seen=slice(None, None, -1))
    )
    np.testing.assert_allclose(turned.area, found.area)
    hole = human.copy()
    hole[0, 2] = np.nan
    flagged = curve_distance(hole, network)
    assert np.isnan(flagged.area.sel(subject="a")).all()
    assert (flagged.n_points.sel(subject="a") == 4).all()
    assert not np.isnan(flagged.area.sel(subject="b")).any()


def test_distance_refuses_curves_that_do_not_fit() -> None:
    human = curve([0.5, 0.6, 0.7])
    with pytest.raises(ValueError, match="must have the same n_seen, got .* select what is common"):
        curve_distance(human, curve([0.5, 0.6]))
    with pytest.raises(ValueError, match="need one of n_seen, block, length in common"):
        curve_distance(human, human.rename(n_seen="block"))
    with pytest.raises(ValueError, match=r"exclude \[50.0\] is not in n_seen"):
        curve_distance(human, human, exclude=50)
    with pytest.raises(ValueError, match="needs two points or more"):
        curve_distance(human, human, exclude=[100, 200])
    with pytest.raises(ValueError, match="dim 'block' is not a dimension of both"):
        curve_distance(human, human, dim="block")


# the closest network ------------------------------------------------------------------------------


def blocks_and_networks(seed=0):
    rng = np.random.default_rng(seed)
    human = xr.DataArray(
        rng.uniform(0.5, 1, (11, 8)),
        {
            "subject": [f"s{s}" for s in range(11)],
            "block": np.arange(1.0, 9),
            "grammar": ("subject", list("AABABABBBAB")),
        },
        dims=("subject", "block"),
    )
    networks = xr.DataArray(
        rng.uniform(0.4, 1, (2, 2, 3, 4, 5)),
        {"grammar": ["A", "B"], "family": ["ff", "rr"], "layers": [2, 3, 5],
         "learning_rate": [0.1, 0.2, 0.3, 0.4]},
        dims=("grammar", "family", "layers", "learning_rate", "seed"),
    )  # fmt: skip
    return human, networks


@pytest.mark.parametrize("folds", [1, 2, 3])
def test_closest_network_against_a_loop(folds) -> None:
    human, networks = blocks_and_networks()
    found = closest_network(human, networks, folds=folds, seed=3)
    last = human.sel(block=8).values
    dealt, groups = found.test_fold.values, human.grammar.values
    for fold in range(folds):
        for family in ("ff", "rr"):
            gaps = {}
            for grammar in "AB":
                learners = [
                    h
                    for h, g, f in zip(last, groups, dealt, strict=True)
                    if g == grammar and (folds == 1 or f != fold)
                ]
                target = sum(learners) / len(learners)
                gaps[grammar] = {
                    (layers, rate): abs(
                        networks.sel(
                            grammar=grammar, family=family, layers=layers, learning_rate=rate
                        ).mean().item()
                        - target
                    )
                    for layers in (2, 3, 5)
                    for rate in (0.1, 0.2, 0.3, 0.4)
                }  # fmt: skip
                here = found.sel(grammar=grammar, family=family)
                here = here.sel(fold=fold) if folds > 1 else here
                best = min(gaps[grammar], key=gaps[grammar].__getitem__)
                assert (here.layers.item(), here.learning_rate.item()) == best
                assert here.distance.item() == pytest.approx(gaps[grammar][best])
                assert here.human_accuracy.item() == pytest.approx(target)
                assert abs(here.network_accuracy - target).item() == pytest.approx(here.distance)
            over_all = {k: (gaps["A"][k] + gaps["B"][k]) / 2 for k in gaps["A"]}
            best = min(over_all, key=over_all.__getitem__)
            here = found.sel(family=family)
            here = here.sel(fold=fold) if folds > 1 else here
            assert (here.overall_layers.item(), here.overall_learning_rate.item()) == best
            assert here.overall_distance.item() == pytest.approx(over_all[best])
    for grammar in "AB":
        sizes = np.bincount(dealt[groups == grammar], minlength=folds)
        assert np.ptp(sizes) <= 1
    said = found.attrs["selection"]
    assert ("exclude that block" if folds == 1 else "compare with the subjects whose") in said
    assert "not subjects" in found.attrs["note"]
    assert found.grammar.dims == ("grammar",) and found.subject.equals(
        human.subject.reset_coords(drop=True)
    )
    # what the docstring promises: the curves of the chosen networks
    chosen = networks.sel(layers=found.layers, learning_rate=found.learning_rate)
    np.testing.assert_allclose(chosen.mean("seed").transpose(*found.distance.dims),
                               found.network_accuracy.transpose(*found.distance.dims))  # fmt: skip


def test_choosing_and_comparing_on_the_same_people_flatters_noise() -> None:
    """Networks that are pure noise look close at the point of choice, and nowhere else."""
    at_choice, held_out = [], []
    for seed in range(30):
        human, networks = blocks_and_networks(seed)
        found = closest_network(human, networks)
        at_choice.append(found.distance.mean().item())
        other = human.sel(block=7).groupby("grammar").mean()
        held_out.append(abs(found.network_accuracy - other).mean().item())
    assert np.mean(at_choice) < 0.25 * np.mean(held_out)


def test_closest_network_without_grammars_and_with_missing_ones() -> None:
    human, networks = blocks_and_networks()
    plain = networks.sel(grammar="A", family="ff", drop=True)
    found = closest_network(human.drop_vars("grammar"), plain)
    assert found.distance.ndim == 0 and "overall_distance" not in found
    hole = plain.copy()
    hole.loc[{"layers": found.layers, "learning_rate": found.learning_rate, "seed": 0}] = np.nan
    second = closest_network(human, hole)
    assert second.distance > found.distance
    with pytest.raises(ValueError, match="no hyper-parameters with an accuracy for every seed"):
        closest_network(human, plain * np.nan)
    with pytest.raises(ValueError, match="human needs the coordinate grammar along subject"):
        closest_network(human.drop_vars("grammar"), networks)
    with pytest.raises(ValueError, match="grammar 'CF' has no subject"):
        closest_network(human, networks.assign_coords(grammar=["A", "CF"]))
    with pytest.raises(ValueError, match="block 9 is not among the blocks of human"):
        closest_network(human, networks, block=9)
    with pytest.raises(ValueError, match="networks need the dimensions"):
        closest_network(human, networks, over=("width",))
    with pytest.raises(ValueError, match="select one n_seen"):
        closest_network(human, networks.expand_dims(n_seen=[500]))
    with pytest.raises(ValueError, match="grammar 'A' has 5 subjects for 6 folds"):
        closest_network(human, networks, folds=6)


def test_results_are_described_and_can_be_saved(tmp_path) -> None:
    human, networks = blocks_and_networks()
    curves = learning_curve(people())
    results = [
        curves,
        learning_curve(people(), "blocks"),
        learning_curve(people(), 50),
        accuracy_by_length(people().assign(length=people().position % 3)),
        curve_distance(curves.accuracy, curves.accuracy, exclude=500),
        closest_network(human, networks),
        closest_network(human, networks, folds=2),
    ]
    for result in results:
        xr.testing.assert_identical(nd.load(nd.save(result, tmp_path / "result.nc")), result)
        assert result.attrs["provenance"] in ("paper", "reconstruction")
        for variable in result.data_vars.values():
            assert {"long_name", "units"} <= set(variable.attrs)
