"""The table of trials: what it holds, what follows, what it refuses."""

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import neurodyn as nd
from neurodyn.analysis.questionnaire import score_selections
from neurodyn.analysis.trial_cells import MISSING, number, truth, without_html
from neurodyn.analysis.trials import TrialsError, trial_table

NAN = np.nan
NAMES = (
    "subject session phase block position item grammar grammatical response correct rt confidence "
    "feedback agent"
).split()


def table(rt_unit="s", **columns):
    start = {"subject": ["a", "a", "b"], "grammatical": [1, 0, 1], "response": [1, 1, 0]}
    options = {
        name: columns.pop(name)
        for name in ("responses", "stimuli", "phases", "accepts", "missing")
        if name in columns
    }
    cells = {name: value for name, value in (start | columns).items() if value is not None}
    return trial_table(cells, rt_unit=rt_unit, **options)


def refused(**columns):
    with pytest.raises(TrialsError) as caught:
        table(**columns)
    return caught.value


def test_schema():
    found = table()
    assert list(found.data_vars) == NAMES and dict(found.sizes) == {"trial": 3}
    assert found.trial.values.tolist() == [0, 1, 2]
    for name, variable in found.variables.items():
        assert variable.attrs["long_name"] and variable.attrs["units"], name
    assert found.rt.attrs["units"] == "s"
    texts = {"subject", "session", "phase", "item", "grammar", "agent"}
    assert {n for n in NAMES if found[n].dtype.kind == "U"} == texts
    assert all(found[n].dtype == np.float64 for n in NAMES if n not in texts)
    assert found.attrs["provenance"] == "reconstruction"
    assert found.attrs["neurodyn_version"] == nd.__version__
    assert found.attrs["agent"] == "human" and set(found.agent.values) == {"human"}
    assert json.loads(found.attrs["source"]) == []


def test_save_and_load_is_exact(tmp_path):
    found = table(
        item=["XV", "", "é"], raw_note=["a\nb", "", "\t"], block=[1, NAN, 2], rt=[0.1 + 0.2, NAN, 3]
    )
    back = nd.load(nd.save(found, tmp_path / "trials.nc"))
    xr.testing.assert_identical(back, found)
    assert all(back[n].dtype == found[n].dtype for n in found.variables)


@pytest.mark.parametrize("grammatical", [0, 1, None])
@pytest.mark.parametrize("response", [0, 1, None])
@pytest.mark.parametrize("correct", [0, 1, None])
def test_the_third_follows_from_two(grammatical, response, correct):
    """All 27 cases; beside them stands one trial that is complete."""
    columns = {
        "subject": "a", "grammatical": [1, grammatical], "response": [1, response],
        "correct": [1, correct],
    }  # fmt: skip
    known = [x for x in (grammatical, response, correct) if x is not None]
    consistent = len(known) < 3 or correct == int(response == grammatical)
    decided = grammatical is not None or None not in (response, correct)
    if not consistent or not decided:
        with pytest.raises(TrialsError) as caught:
            trial_table(columns)
        assert caught.value.row == 2
        assert caught.value.column == ("grammatical" if consistent else "correct")
        return
    found = trial_table(columns).isel(trial=1)
    g, y, c = (float(found[name]) for name in ("grammatical", "response", "correct"))
    assert g == (grammatical if grammatical is not None else int(response == correct))
    if response is None:  # nobody answered, whatever `correct` says
        assert np.isnan(y)
        assert np.isnan(c) if correct is None else c == correct
    else:
        assert y == response and c == int(y == g)


def test_without_a_column_of_responses_they_follow_from_correct():
    found = trial_table({"subject": "a", "grammatical": [1, 1, 0, 0], "correct": [1, 0, 1, 0]})
    assert found.response.values.tolist() == [1, 0, 0, 1]
    assert "from correct" in json.loads(found.attrs["corrected"])["response"]


def test_keys_by_map_and_by_subject():
    keys = ["f", "j", "f"]
    found = table(response=keys, responses={"f": 1, "j": 0})
    assert found.response.values.tolist() == [1, 0, 1]
    assert found.raw_response.values.tolist() == keys
    swapped = {"a": {"f": 1, "j": 0}, "b": {"f": 0, "j": 1}}
    assert table(response=keys, responses=swapped).response.values.tolist() == [1, 0, 0]
    error = refused(response=["f", "k", "f"], responses={"f": 1, "j": 0})
    assert (error.row, error.column, error.value, error.allowed) == (
        2, "response", "k", "f, j, or nothing",
    )  # fmt: skip
    assert refused(response=keys, responses={"a": swapped["a"]}).column == "subject"
    codes = table(response=[70, 74, 70.0], responses={70: True, "74": 0})
    assert codes.response.values.tolist() == [1, 0, 1]
    with pytest.raises(ValueError, match="1, 0 or None"):
        table(responses={"f": "left"})
    with pytest.raises(TypeError, match="must be a map"):
        table(responses={"a": {"f": 1}, "b": "f"})


def test_stimuli_and_phases_by_map():
    found = table(
        grammatical=[2, 1, 2], stimuli={1: 0, 2: 1}, phase="learn", phases={"learn": "train"}
    )
    assert found.grammatical.values.tolist() == [1, 0, 1] and set(found.phase.values) == {"train"}
    error = refused(phase=["Train", "rest", ""])
    assert (error.row, error.column, error.value) == (2, "phase", "rest")
    assert "practice, train" in error.allowed
    with pytest.raises(ValueError, match="not among"):
        table(phases={"a": "learn"})


class Doubles:
    """Accepts strings of A and B without a repetition."""

    name = "no doubles"

    def accepts(self, string):
        if set(string) - {"A", "B"}:
            raise ValueError("letters other than A and B")
        return "AA" not in string and "BB" not in string


@pytest.mark.parametrize("rule", [Doubles(), Doubles().accepts, {"g": Doubles()}])
def test_a_grammar_decides(rule):
    found = table(item=["ABA", "AA", "B"], grammar="g", grammatical=None, accepts=rule)
    assert found.grammatical.values.tolist() == [1, 0, 1]
    assert found.correct.values.tolist() == [1, 0, 0]
    error = refused(item=["ABA", "AA", "B"], grammar="g", grammatical=[1, 1, 1], accepts=rule)
    assert (error.row, error.column, error.value) == (2, "grammatical", 1)
    error = refused(item=["ABA", "AC", "B"], grammar="g", grammatical=None, accepts=rule)
    assert (error.row, error.column, error.value) == (2, "item", "AC")


def test_a_grammar_names_and_decides():
    cells = {"subject": "a", "item": ["AB", "AA"], "response": [1, 1]}
    found = trial_table(cells, grammar=Doubles())
    assert found.grammatical.values.tolist() == [1, 0]
    assert set(found.grammar.values) == {"no doubles"}
    with pytest.raises(TrialsError, match="is not grammar='A'"):
        trial_table(cells | {"grammar": "B", "grammatical": 1}, grammar="A")
    with pytest.raises(TypeError, match="accepts must be a function"):
        trial_table(cells, accepts=3)


def test_units_of_time():
    assert table(rt=[500, 1500, None], rt_unit="ms").rt.values[:2].tolist() == [0.5, 1.5]
    assert table(rt=[500, 1500, None]).rt.values[:2].tolist() == [500, 1500]
    assert table(rt=[500, 1500, None], rt_unit="auto").rt.values[0] == 0.5
    assert table(rt=[0.5, 19, 1], rt_unit="auto").rt.values[0] == 0.5
    assert refused(rt=[20, 30, 60], rt_unit="auto").column == "rt"
    with pytest.raises(ValueError, match="rt_unit 'm' is not one of 's', 'ms', 'auto'"):
        table(rt_unit="m")


def test_positions_follow_the_order_of_each_session():
    found = trial_table(
        {"subject": list("aabab"), "session": list("11121"), "response": 1, "grammatical": 1}
    )
    assert found.position.values.tolist() == [1, 2, 1, 1, 2]
    asked = trial_table(
        {"subject": "a", "phase": ["test", "questionnaire", "test"], "response": [1, "X, V", 0],
         "grammatical": [1, None, 1]}
    )  # fmt: skip
    assert asked.position.values[[0, 2]].tolist() == [1, 2] and np.isnan(asked.position[1])
    assert asked.raw_response.values.tolist() == ["", "X, V", ""] and np.isnan(asked.response[1])


def test_a_trial_is_there_once():
    same = {"phase": "test", "block": 1, "position": [1, 1, 1]}
    error = refused(**same)
    assert (error.row, error.column, error.value) == (2, "position", 1.0)
    assert "the same trial as row 1" in str(error)
    for name, values in {
        "subject": list("abc"), "session": list("123"), "phase": ["test", "train", "memory"],
        "block": [1, 2, NAN], "position": [1, 2, 3],
    }.items():  # fmt: skip
        assert table(**same | {name: values}).sizes["trial"] == 3
    cells = {"subject": "a", "response": 1, "grammatical": 1}
    with pytest.raises(TrialsError, match="keep the newest"):
        trial_table(cells, places=[("one.csv", 2), ("two.csv", 2)])


@pytest.mark.parametrize(
    "columns, row, column",
    [
        ({"subject": ["a", " ", "b"]}, 2, "subject"),
        ({"subject": ["a", "NA", "b"]}, 2, "subject"),
        ({"subject": ["a", ["b"], "c"]}, 2, "subject"),
        ({"grammatical": [1, 0, 2]}, 3, "grammatical"),
        ({"response": [1, "f", 0]}, 2, "response"),
        ({"correct": [1, 1, 0]}, 2, "correct"),
        ({"rt": [1, "1,5", 2]}, 2, "rt"),
        ({"rt": [1, True, 2]}, 2, "rt"),
        ({"rt": [1, 10**400, 2]}, 2, "rt"),
        ({"rt": [1, float("inf"), 2]}, 2, "rt"),
        ({"block": [1, 0, 1]}, 2, "block"),
        ({"position": [1, 1.5, 1]}, 2, "position"),
        ({"item": ["a", "b\0", "c"]}, 2, "item"),
        ({"raw_x": ["a", "b", "\ud800"]}, 3, "raw_x"),
        ({"grammatical": [1, None, 0]}, 2, "grammatical"),
    ],
)
def test_bad_cells(columns, row, column):
    error = refused(**columns)
    assert (error.row, error.column) == (row, column) and error.allowed
    if columns[column][row - 1] is not None:
        assert error.value == columns[column][row - 1]


def test_bad_tables():
    assert "one trial or more" in refused(subject=[], grammatical=[], response=[]).allowed
    assert "different lengths" in str(refused(subject=["a"]))
    assert "unknown columns 'colour'" in str(refused(colour="red"))
    assert "unknown columns 'raw_a/b'" in str(refused(**{"raw_a/b": "red"}))
    assert "no trial has a response" in str(refused(response=None))
    assert "no trial has a response" in str(refused(response=[None, "", "n/a"]))
    assert "whether the string is grammatical" in str(refused(grammatical=None))


def test_columns_of_pandas_and_xarray():
    frame = pd.DataFrame({"subject": ["a", "b"], "grammatical": [True, False], "rt": [1.5, None]})
    frame["response"] = pd.array([1, None], dtype="Int64")
    for columns in (frame.to_dict("list"), dict(frame), {n: frame[n].to_xarray() for n in frame}):
        found = trial_table(columns)
        np.testing.assert_array_equal(found.response, [1, NAN])
        np.testing.assert_array_equal(found.rt, [1.5, NAN])
    assert trial_table({"subject": range(2), "grammatical": 1, "response": 0}).sizes["trial"] == 2


def test_missing_codes_can_be_chosen():
    assert table(item=["NA", "None", " n/a "]).item.values.tolist() == ["", "", ""]
    found = table(item=["NA", "None", "n/a"], missing=("n/a",))
    assert found.item.values.tolist() == ["NA", "None", ""]
    assert json.loads(found.attrs["corrected"])["items read as missing"] == {"n/a": 1}
    assert "items read as missing" not in table(item=["A", "", None]).attrs["corrected"]
    notes = json.loads(table(item=["NA", "NA ", "null"]).attrs["corrected"])
    assert notes["items read as missing"] == {"NA": 2, "null": 1}


def test_missing_is_a_list_and_what_is_empty_is_always_missing():
    found = table(item=["N", "A", " "], rt=["", " ", "1"], missing=["NA"])
    assert found.item.values.tolist() == ["N", "A", ""]
    np.testing.assert_array_equal(found.rt, [NAN, NAN, 1])
    for wrong in ("NA", b"NA", 3, None, [3]):
        with pytest.raises(TypeError, match="missing must be a list of texts"):
            table(missing=wrong)


@pytest.mark.parametrize("name", ["responses", "stimuli", "phases"])
def test_maps_that_are_none(name):
    with pytest.raises(TypeError, match=f"{name} must map .* got .'f', 'j'."):
        table(**{name: ["f", "j"]})


@pytest.mark.parametrize(
    "html, shown",
    [
        ("<p>XVJT</p>", "XVJT"), ("<b>X</b><i>V</i>", "XV"), ("tu<br/>pi", "tu pi"),
        ("J&amp;J", "J&J"), ("a &lt; b", "a < b"), ("a < b", "a < b"), ("<!-- no -->X", "X"),
        ("<P CLASS='x'>X\n V</P>", "X V"), ("<<X>>", "<>"), ("X<", "X<"),
    ],
)  # fmt: skip
def test_html(html, shown):
    assert without_html(html) == shown


def test_html_takes_linear_time():
    assert len(without_html("<a" * 200_000)) == 400_000


def test_spellings():
    for word in (True, 1, 1.0, "true", "TRUE", " Yes ", "1", "1.0", "Grammatical", "correct"):
        assert truth(word) == 1
    for word in (False, 0, "false", "No", "0", "0.0", "ungrammatical", "incorrect", "wrong"):
        assert truth(word) == 0
    for word in ("f", "t", "y", "n", "2", 2, -1, 0.5, "", [], {}, "right"):
        with pytest.raises(ValueError):
            truth(word)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_keep_all_digits(value):
    assert number(repr(value)) == value == number(f" {value!r} ")


@pytest.mark.parametrize("text", ["1_0", "0x1", "inf", "nan", "1e999", "١", "1 2", "--1", "."])
def test_not_numbers(text):
    with pytest.raises(ValueError):
        number(text)


def test_selections():
    """Counted by hand: of V, X one was chosen; of M, R, T two were left."""
    scores = score_selections([["X", "M"], [], list("MRTVX")], [["V", "X"], [], list("MRTVX")],
                              "MRTVX")  # fmt: skip
    np.testing.assert_allclose(scores.sensitivity, [1 / 2, NAN, 1])
    np.testing.assert_allclose(scores.specificity, [2 / 3, 1, NAN])
    with pytest.raises(ValueError, match="'Q' are not among the options"):
        score_selections([["Q"]], [["V"]], "MV")
    with pytest.raises(ValueError, match="1 answers to 2 questions"):
        score_selections([["V"]], [["V"], ["M"]], "MV")


def test_missing_codes_are_those_documented():
    assert {"", "n/a", "NA", "null", "None", "NaN"} <= set(MISSING)
