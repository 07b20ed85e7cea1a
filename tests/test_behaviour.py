"""People and networks compared: every metric against a loop of its own, and against the truth."""

from itertools import combinations, permutations

import numpy as np
import pytest
import xarray as xr
from scipy.stats import norm
from sklearn.metrics import cohen_kappa_score

import neurodyn as nd
from neurodyn import analysis
from neurodyn.analysis import behaviour, grammar_report, likeness
from neurodyn.analysis.detection import detection_measures
from neurodyn.analysis.error_consistency import counted, mean_where, pairwise_kappa
from neurodyn.models import simulated_participants

FAMILIES = ("truth", "twin", "coin")


def made(subjects=12, blocks=4, trials=40, seed=3, **truth):
    """People on 80 strings of two letters, each seen twice; agents that know their truth."""
    draw = np.random.default_rng(seed)
    strings = [f"{a}{b}{c}" for a in "XVJT" for b in "XVJT" for c in "XVJTP"]
    kind = draw.permutation(np.arange(80) % 2 == 0)
    people = simulated_participants(
        strings, kind.tolist(), subjects=subjects, blocks=blocks, trials=trials, seed=seed, **truth
    )
    people["grammar"] = people.grammar.copy(data=np.full(people.sizes["trial"], "own"))
    n = people.sizes["trial"]
    output = np.stack([
        np.broadcast_to(people.truth.values, (3, n)),
        draw.random((3, n)) < people.truth.values,
        draw.random((3, n)),
    ])  # fmt: skip
    networks = xr.Dataset(
        {"output": (("family", "seed", "trial"), output.astype(float))},
        {"family": list(FAMILIES), "seed": [0, 1, 2], "trial": people.trial},
    )
    items = xr.Dataset({
        "string": ("item", strings), "grammatical": ("item", kind),
        "grammar": ("item", np.full(80, "own")),
        "first": ("item", [s[0] in "XV" for s in strings]),
    })  # fmt: skip
    return people, networks, items


@pytest.fixture(scope="module")
def compared():
    people, networks, items = made(item_spread=1.0)
    found = analysis.compare(
        people, networks, items=items, features=["grammatical", "first"], exclude=(), resamples=100
    )
    return people, networks, items, found.sel(grammar="own")


def value(found, metric, family):
    return found.value.sel(metric=metric, family=family).item()


@pytest.mark.parametrize("family", FAMILIES)
def test_gaps_against_counts(compared, family):
    people, networks, _, found = compared
    said = networks.output.sel(family=family).values >= 0.5
    kind = people.grammatical.values == 1
    gap = np.mean(said == kind) - people.correct.values.mean()
    assert value(found, "accuracy_gap", family) == pytest.approx(gap)
    ours = people.response.values == 1
    both = [
        detection_measures((r * kind).sum(-1), (r * ~kind).sum(-1), kind.sum(), (~kind).sum())
        for r in (said.mean(0), ours)
    ]
    for name in ("d_prime", "criterion"):
        assert value(found, f"{name}_gap", family) == pytest.approx(both[0][name] - both[1][name])


@pytest.mark.parametrize("family", FAMILIES)
def test_curve_area_against_a_fine_grid(compared, family):
    people, networks, _, found = compared
    said = (networks.output.sel(family=family) >= 0.5) == (people.grammatical == 1)
    block = people.block.values
    h = [people.correct.values[block == b].mean() for b in range(1, 5)]
    m = [said.values[:, block == b].mean() for b in range(1, 5)]
    x = np.linspace(1, 4, 300_001)
    gap = np.abs(np.interp(x, range(1, 5), h) - np.interp(x, range(1, 5), m))
    assert value(found, "curve_area", family) == pytest.approx(gap.mean(), abs=1e-5)


def test_item_correlation_against_a_loop_over_halves():
    """People of one half, networks yoked to the other; strings seen once by everyone."""
    people, networks, _ = made(subjects=6, blocks=2, item_spread=1.0)
    found = analysis.compare(people, networks, exclude=(), resamples=100).sel(grammar="own")
    names = np.unique(people.subject.values)
    order = [np.flatnonzero(people.subject.values == s) for s in names]
    order = [rows[np.argsort(people["item"].values[rows])] for rows in order]
    kind = people.grammatical.values[order[0]] == 1

    def endorsed(values, half):
        yes = sum(values[..., order[s]].reshape(-1, 80).sum(0) for s in half)
        n = values[..., 0].size * len(half)
        x = np.log((yes + 0.5) / (n - yes + 0.5))
        return x - np.where(kind, x[kind].mean(), x[~kind].mean())

    splits = [h for h in combinations(range(6), 3) if 0 in h]  # each way to halve six people
    both = [(h, tuple(set(range(6)) - set(h))) for h in splits]
    h = people.response.values
    reliability = np.mean([np.corrcoef(endorsed(h, a), endorsed(h, b))[0, 1] for a, b in both])
    here = found.sel(metric="item_correlation")
    np.testing.assert_allclose(here.ceiling, reliability**0.5)
    for family in FAMILIES:
        m = networks.output.sel(family=family).values
        r = [np.corrcoef(endorsed(h, x), endorsed(m, y))[0, 1] for a, b in both
             for x, y in ((a, b), (b, a))]  # fmt: skip
        assert here.value.sel(family=family).item() == pytest.approx(np.mean(r))


def test_learning_alone_makes_no_item_correlation():
    """No string differs from another of its kind; an agent that only learns goes with people's
    endorsement if it is yoked to the same people, as both meet a string early or late."""
    found = []
    for seed in range(4):
        people, networks, _ = made(subjects=8, seed=seed, item_spread=0.0, learning_trials=60.0)
        learnt = 2 * (1 - np.exp(-(people.position.values - 1) / 60))
        clock = norm.cdf(learnt * (people.grammatical.values - 0.5))
        agent = networks.isel(family=[0]).copy(data={"output": np.broadcast_to(
            clock, (1, 3, people.sizes["trial"]))}).assign_coords(family=["clock"])  # fmt: skip
        at = analysis.compare(people, agent, exclude=(), resamples=100)
        found.append(at.value.sel(metric="item_correlation").item())
    assert abs(np.mean(found)) < 0.08


@pytest.mark.parametrize(("metric", "what"), [("kappa_correct", 1), ("kappa_response", 0)])
def test_kappa_of_different_people_against_a_loop(metric, what):
    """Each string once a person: plain Cohen's kappa of each pair, scikit-learn's."""
    people, networks, _ = made(subjects=5, blocks=2, seed=5)
    found = analysis.compare(people, networks, exclude=(), resamples=100).sel(grammar="own")
    order = [np.flatnonzero(people.subject.values == s) for s in np.unique(people.subject.values)]
    order = [rows[np.argsort(people["item"].values[rows])] for rows in order]
    kind = people.grammatical.values == 1

    def scored(response):
        return (response == kind) if what else response

    ours = scored(people.response.values == 1)
    pairs = list(permutations(range(5), 2))
    reference = [cohen_kappa_score(ours[order[a]], ours[order[b]]) for a, b in pairs]
    here = found.sel(metric=metric)
    np.testing.assert_allclose(here.ceiling, np.mean(reference))
    for family in FAMILIES:
        said = scored(networks.output.sel(family=family).values >= 0.5)
        kappas = [
            cohen_kappa_score(ours[order[a]], said[k, order[b]]) for a, b in pairs for k in range(3)
        ]
        assert here.value.sel(family=family).item() == pytest.approx(np.mean(kappas))


def test_choices_weights_and_features_are_those_of_the_measures(compared):
    people, networks, items, found = compared
    answers = networks.assign({k: people[k] for k in ("subject", "item", "grammatical")})
    r2 = analysis.choice_likelihood(people, answers).pseudo_r2.mean(("subject", "seed"))
    np.testing.assert_allclose(found.value.sel(metric="pseudo_r2"), r2)
    weights = (
        analysis.choice_history(people).weight,
        analysis.choice_history(people, answers).weight,
    )
    apart = analysis.compare_profiles(*weights).distance
    np.testing.assert_allclose(found.value.sel(metric="history_distance"), apart)
    features = ["grammatical", "first"]
    mine = [answers.isel(trial=answers.subject.values == s) for s in np.unique(people.subject)]
    theirs = sum(analysis.feature_profile(x, items, features).weight for x in mine) / len(mine)
    ours = analysis.feature_profile(people, items, features).weight
    cosine = analysis.compare_profiles(ours, theirs).cosine
    np.testing.assert_allclose(found.value.sel(metric="feature_cosine"), cosine)


def test_every_metric_finds_the_truth(compared):
    """A twin differs from people by chance alone; the truth reaches every ceiling."""
    people, _, _, found = compared
    for metric in ("accuracy_gap", "d_prime_gap", "criterion_gap"):
        low, high = found.value_ci.sel(metric=metric, family="twin").values
        assert low < 0 < high
    for metric in ("kappa_correct", "kappa_response"):
        here = found.sel(metric=metric, family="twin")
        assert here.value_ci.values[0] < here.ceiling < here.value_ci.values[1]
    for metric in ("curve_area", "history_distance"):
        here = found.sel(metric=metric)
        assert here.value.sel(family="twin") < here.ceiling.sel(family="twin")
        assert here.value.sel(family="coin") > 2 * here.ceiling.sel(family="coin")
    at = found.sel(metric="item_correlation", family="truth")
    assert at.value_ci.values[0] < at.ceiling < at.value_ci.values[1]
    p = people.truth.values
    certain = 1 + np.mean(p * np.log2(p) + (1 - p) * np.log2(1 - p))
    at = found.sel(metric="pseudo_r2", family="truth")
    assert at.value_ci.values[0] < certain < at.value_ci.values[1]
    assert value(found, "feature_cosine", "truth") > 0.95
    for metric in ("item_correlation", "kappa_correct", "kappa_response", "pseudo_r2"):
        low, high = found.value_ci.sel(metric=metric, family="coin").values
        assert value(found, metric, "coin") < 0.2 * value(found, metric, "truth")


@pytest.mark.parametrize("metric", ["accuracy", "d_prime", "criterion"])
def test_intervals_hold_the_true_gap_as_often_as_they_say(metric):
    """People and twins of the same truth: the gap is 0; 80% intervals of 60 data sets."""
    held, how = 0, {"resamples": 200, "level": 0.8, "seed": 0}
    for seed in range(60):
        people, networks, _ = made(subjects=10, blocks=1, seed=100 + seed)
        twin = networks.sel(family=["twin"])
        found = (
            likeness.accuracy_gap(people, twin, how)
            if metric == "accuracy"
            else likeness.detection_gap(people, twin, metric, how)
        )
        low, high = found.value_ci.sel(family="twin").values
        held += low <= 0 <= high
    assert 0.65 * 60 <= held <= 0.95 * 60


def test_excluded_blocks_have_no_say():
    people, networks, _ = made(subjects=4)
    first = analysis.compare(people, networks, exclude=(4,), resamples=100)
    last = people.block.values == 4
    other = people.copy(deep=True)
    other.response.values[last] = 1 - other.response.values[last]
    other.correct.values[last] = 1 - other.correct.values[last]
    again = analysis.compare(other, networks, exclude=(4,), resamples=100)
    xr.testing.assert_identical(first, again)
    assert first.trials.item() == (~last).sum()


def test_order_of_the_table_does_not_matter():
    people, networks, _ = made(subjects=4, blocks=2)
    order = np.random.default_rng(0).permutation(people.sizes["trial"])
    plain, mixed = (
        analysis.compare(p, n, exclude=(), resamples=100)
        for p, n in ((people, networks), (people.isel(trial=order), networks.isel(trial=order)))
    )
    means = [m for m in behaviour.METRICS if m != "pseudo_r2"]  # its folds follow the order
    xr.testing.assert_allclose(plain.sel(metric=means), mixed.sel(metric=means))


def test_what_is_missing_is_said_not_invented(compared):
    people, networks, _, _ = compared
    unnamed = people.assign(item=("trial", np.full(people.sizes["trial"], "")))
    unnamed["position"] = unnamed.position * np.nan
    found = analysis.compare(unnamed, networks, exclude=(), resamples=100).sel(grammar="own")
    for metric in behaviour.BY_ITEM:
        assert "do not name their strings" in found.why.sel(metric=metric).item()
        assert found.value.sel(metric=metric).isnull().all()
    assert "position" in found.why.sel(metric="history_distance").item()
    for metric in ("accuracy_gap", "d_prime_gap", "curve_area"):
        assert found.why.sel(metric=metric).item() == ""
        assert found.value.sel(metric=metric).notnull().all()


def test_refusals(compared):
    people, networks, _, _ = compared
    with pytest.raises(ValueError, match="trials need subject"):
        analysis.compare(people.drop_vars("subject"), networks)
    with pytest.raises(ValueError, match="'output' over family, seed and trial"):
        analysis.compare(people, networks.isel(seed=0))
    with pytest.raises(ValueError, match="yoke the networks to these very trials"):
        analysis.compare(people, networks.isel(trial=slice(5)))
    with pytest.raises(ValueError, match="no family answered every trial"):
        analysis.compare(people, networks.where(networks.seed != 1), exclude=())
    with pytest.raises(ValueError, match="outside the excluded blocks"):
        analysis.compare(people, networks, exclude=(1, 2, 3, 4))
    with pytest.raises(ValueError, match="other labels along 'trial'"):
        analysis.compare(people, networks.isel(trial=slice(None, None, -1)))
    with pytest.raises(ValueError, match="items have no nope; they have string"):
        analysis.compare(people, networks, items=compared[2], features=["nope"])
    with pytest.raises(ValueError, match="of one person"):
        analysis.compare(people.where(people.subject == "sim001", drop=True), networks.isel(
            trial=people.subject.values == "sim001"))  # fmt: skip
    with pytest.raises(ValueError, match="resamples must be 100"):
        analysis.compare(people, networks, resamples=5)


def test_it_is_labelled_and_can_be_saved(compared, tmp_path):
    found = compared[-1]
    for name in (*found.data_vars, *found.coords):
        assert {"long_name", "units"} <= set(found[name].attrs) or name == "grammar", name
    xr.testing.assert_identical(nd.load(nd.save(found, tmp_path / "c.nc")), found)
    figure = analysis.similarity(found.expand_dims("grammar"))
    titles = [axis.get_title() for axis in figure.axes]
    assert titles[:2] == ["accuracy, network minus people", "d', network minus people"]


def test_curves_of_agents_are_means_over_windows_and_lengths():
    people, networks, _ = made(subjects=4, blocks=12, trials=40)
    curves = analysis.accuracy_of_agents(people, networks, "n_seen", resamples=100)
    assert curves.n_seen.values.tolist() == [100, 200, 300, 400, 500]
    rank = people.position.values
    window = (rank > 280) & (rank <= 320)
    said = (networks.output.sel(family="twin").values >= 0.5) == (people.grammatical.values == 1)
    at = curves.accuracy.sel(grammar="own", n_seen=300)
    assert at.sel(agent="people").item() == pytest.approx(people.correct.values[window].mean())
    assert at.sel(agent="twin").item() == pytest.approx(said[:, window].mean())
    lengths = analysis.accuracy_of_agents(people, networks, "length", resamples=100)
    assert lengths.length.values.tolist() == [3]
    assert lengths.accuracy.sel(agent="people").item() == pytest.approx(
        people.correct.values.mean()
    )
    figure = analysis.agent_curves(curves, "n_seen", people="simulated people")
    assert figure.legends[0].get_texts()[0].get_text() == "simulated people"
    with pytest.raises(ValueError, match="lacks n_seen"):
        analysis.agent_curves(lengths, "n_seen")


def test_agents_without_weights_have_no_distance():
    """A network whose answer never changes fits no history: NaN and why, not a distance of 0."""
    people, networks, _ = made(subjects=4, blocks=2)
    constant = networks.assign(output=networks.output.where(networks.family != "coin", 0.7))
    found = analysis.compare(people, constant, exclude=(), resamples=100).sel(grammar="own")
    at = found.sel(metric="history_distance")
    assert np.isnan(at.value.sel(family="coin").item())
    assert at.value_ci.sel(family="coin").isnull().all()
    assert at.value.sel(family="twin") > 0
    assert at.why.item() == "not defined for the answers of coin"


def test_a_block_that_some_people_lack_is_no_agreement():
    """Perfect people, a network that is always wrong: the area is 1 in every resample."""
    people, networks, _ = made(subjects=6, blocks=3)
    people["response"] = people.grammatical
    people["correct"] = people.correct * 0 + 1
    rows = np.flatnonzero((people.block.values < 3) | (people.subject.values == "sim001"))
    wrong = networks.assign(output=xr.zeros_like(networks.output) + 1 - people.grammatical)
    found = likeness.curve_area(
        people.isel(trial=rows),
        wrong.isel(trial=rows),
        {"resamples": 100, "level": 0.95, "seed": 0},
    )
    np.testing.assert_allclose(found.value, 1)
    np.testing.assert_allclose(found.value_ci, 1)


def test_kappa_of_accurate_strangers_is_about_zero():
    """Independent agents, right on 95% of 20 strings: pairs right on all say nothing."""
    draw = np.random.default_rng(0)
    a, b = (
        (draw.random((400, 20)) < 0.95).astype(float),
        (draw.random((400, 20)) < 0.95).astype(float),
    )
    found = pairwise_kappa(a, b)
    assert found.kappa.mean() > 0.08
    assert abs(mean_where(found.kappa, counted(found, 10))) < 0.02


def test_only_learning_trials_are_compared():
    people, networks, _ = made(subjects=4, blocks=3)
    late = people.block.values == 3
    people["phase"] = people.phase.copy(data=np.where(late, "explicit", "implicit"))
    plain = analysis.compare(people, networks, exclude=(), resamples=100)
    assert plain.trials.item() == (~late).sum() and "explicit" not in plain.attrs["phases"]
    only = analysis.compare(people, networks, exclude=(), phases=["explicit"], resamples=100)
    assert only.trials.item() == late.sum()
    assert "two blocks" in only.why.sel(metric="curve_area").item()


def test_trials_without_a_kind_or_an_answer_count_for_nobody():
    people, networks, _ = made(subjects=4, blocks=2)
    gone = np.random.default_rng(0).random(people.sizes["trial"]) < 0.3
    people["grammatical"] = people.grammatical.where(~gone)
    people["correct"] = people.correct.where(~gone)
    right = networks.assign(output=networks.output * 0 + people.grammatical.fillna(0))
    curves = analysis.accuracy_of_agents(people, right, "length", resamples=100)
    assert curves.accuracy.sel(agent="coin").item() == 1
    assert curves.accuracy.sel(agent="people").item() == pytest.approx(
        np.nanmean(people.correct.values), abs=0.02
    )


def test_intervals_stay_where_the_metric_can_be(compared):
    found = compared[-1]
    for metric, (low, high) in behaviour.RANGES.items():
        bounds = found.value_ci.sel(metric=metric)
        assert (bounds >= low).all() and (bounds <= high).all()


def test_a_family_that_diverged_is_left_out_where_it_did():
    people, networks, items = made(subjects=4, blocks=2)
    gone = networks.copy(deep=True)
    gone["output"][{"family": 2, "seed": 0, "trial": 5}] = np.nan
    features = ["grammatical", "first", "grammar"]  # the last does not vary
    how = {"items": items, "features": features, "exclude": (), "resamples": 100}
    whole, found = (analysis.compare(people, n, **how).sel(grammar="own") for n in (networks, gone))
    assert found.value.sel(family="coin").isnull().all()
    assert (found.why == "coin diverged").all()
    kept = ["truth", "twin"]
    xr.testing.assert_allclose(found.value.sel(family=kept), whole.value.sel(family=kept))


def test_one_seed_and_a_refusing_measure_take_nothing_with_them(monkeypatch):
    people, networks, items = made(subjects=6, blocks=2)

    def refuse(*_: object) -> None:
        raise ValueError("no such thing")

    monkeypatch.setattr(behaviour, "curve_area", refuse)
    found = analysis.compare(
        people, networks.isel(seed=[0]), items=items, features=["grammatical", "first"], exclude=(),
        resamples=100,
    ).sel(grammar="own")  # fmt: skip
    others = [m for m in behaviour.METRICS if m != "curve_area"]
    assert found.why.sel(metric="curve_area").item() == "no such thing"
    assert found.value.sel(metric=others).notnull().all()
    assert found.value_ci.sel(metric=others).notnull().all()


def test_diverged_learners_have_no_accuracy():
    people, networks, _ = made(subjects=4, blocks=2)
    gone = networks.assign(output=networks.output.where(networks.family != "coin"))
    curves = analysis.accuracy_of_agents(people, gone, "block", resamples=100)
    assert curves.accuracy.sel(agent="coin").isnull().all()
    assert curves.accuracy.sel(agent=["people", "twin"]).notnull().all()


def test_the_check_against_the_truth_can_fail(compared):
    """With a coin in the twin's and the truth's place, all but two metrics notice."""
    people, networks, items, _ = compared
    trials = people.assign(output=networks.output)

    def checked(output: xr.DataArray) -> dict[str, str]:
        found = analysis.compare(
            people, output.to_dataset(name="output"), items=items,
            features=["grammatical", "first"], exclude=(), resamples=100,
        )  # fmt: skip
        tree = xr.DataTree.from_dict({"/compare": found, "/trials": trials})
        return {row[1]: row[-1] for row in grammar_report.truth_check(tree)[1:]}

    coin = networks.output.sel(family="coin")
    false = xr.concat([coin, coin], dim=xr.IndexVariable("family", ["truth", "twin"]))
    fine, wrong = checked(networks.output), checked(false)
    names = behaviour.METRICS
    assert sum(said == "yes" for said in fine.values()) >= 9
    unnoticed = {metric for metric in names if wrong[names[metric]] == "yes"}
    assert unnoticed <= {"criterion_gap", "feature_cosine"}  # a coin has no bias and no direction
