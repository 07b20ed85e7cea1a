"""The table of trials as a BIDS dataset and back."""

import csv
import json

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from neurodyn.analysis.readers import read_trials
from neurodyn.analysis.trials import trial_table
from neurodyn.analysis.write_bids import labels, write_bids

NAN = np.nan


def two_people(**more):
    return trial_table(
        {
            "subject": ["01", "01", "01", "02"], "session": ["1", "1", "2", ""],
            "phase": ["implicit", "implicit", "test", ""], "block": [1, 1, NAN, 2],
            "item": ["XVJ", "JJ", "", "tu pi ro"], "grammar": ["A", "A", "", "A"],
            "grammatical": [1, 0, 1, 0], "response": [1, NAN, 0, 0],
            "rt": [0.1 + 0.2, NAN, 2, 1e-9],
            "confidence": [100, NAN, 33.3, 0], "feedback": [1, 0, NAN, 1],
            "raw_key": ["f", "", 'a "b"\tc\r\nd', "ä"],
        } | more,
        confidence_unit="percent",
    )  # fmt: skip


def test_round_trip_is_exact(tmp_path):
    table = two_people()
    back = read_trials(write_bids(table, tmp_path / "data"))
    assert set(back.variables) == set(table.variables)
    for name, variable in table.variables.items():
        xr.testing.assert_identical(back[name].variable, variable)
    again = read_trials(write_bids(back, tmp_path / "again"))
    xr.testing.assert_identical(back.drop_attrs(), again.drop_attrs())


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6)
truths = st.sampled_from([0.0, 1.0, NAN])
numbers = st.floats(allow_infinity=False)


@st.composite
def tables(draw):
    n = draw(st.integers(1, 6))
    many = lambda one: draw(st.lists(one, min_size=n, max_size=n))  # noqa: E731
    subjects = sorted(many(st.sampled_from(["01", "7", "b"])))
    phases = many(st.sampled_from(["", "test", "implicit"]))
    return trial_table(
        {
            "subject": subjects, "phase": phases, "item": many(st.sampled_from(["XV", "", "J J"])),
            "grammatical": many(st.sampled_from([0.0, 1.0])), "response": [1.0, *many(truths)][:n],
            "rt": many(numbers), "confidence": many(numbers), "feedback": many(truths),
            "raw_note": many(texts),
        }
    )  # fmt: skip


@given(tables())
def test_any_table_comes_back(tmp_path_factory, table):
    try:
        folder = write_bids(table, tmp_path_factory.mktemp("bids") / "data")
    except ValueError as error:  # only what reading would take for missing
        assert "read back" in str(error)
        assert any(text.isspace() for text in table.raw_note.values)
        return
    xr.testing.assert_equal(read_trials(folder), table)


def test_files(tmp_path):
    folder = write_bids(two_people(), tmp_path / "new" / "data", name="ä", authors=["A. B."])
    names = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
    stems = [
        "sub-01/ses-1/beh/sub-01_ses-1_task-agl_beh", "sub-01/ses-2/beh/sub-01_ses-2_task-agl_beh",
        "sub-02/beh/sub-02_task-agl_beh",
    ]  # fmt: skip
    tops = {"dataset_description.json", "participants.tsv", "participants.json"}
    assert names == tops | {stem + end for stem in stems for end in (".tsv", ".json")}
    assert not list((tmp_path / "new").glob(".*"))

    description = json.loads((folder / "dataset_description.json").read_text(encoding="utf-8"))
    assert description["Name"] == "ä" and description["BIDSVersion"].startswith("1.")
    assert (folder / "participants.tsv").read_text().splitlines() == [
        "participant_id\tname", "sub-01\t01", "sub-02\t02",
    ]  # fmt: skip
    with open(folder / f"{stems[0]}.tsv", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert [row["response"] for row in rows] == ["1", "n/a"]
    assert rows[0]["response_time"] == "0.30000000000000004" and rows[1]["response_time"] == "n/a"
    about = json.loads((folder / f"{stems[0]}.json").read_text())
    assert set(rows[0]) == set(about) - {"TaskName"} and about["TaskName"] == "agl"
    assert about["response_time"]["Units"] == "s" and about["confidence"]["Units"] == "percent"
    assert about["response"]["Levels"] == {"1": "grammatical", "0": "ungrammatical"}
    assert all(entry["Description"] for name, entry in about.items() if name != "TaskName")


def test_names_that_bids_cannot_hold_are_mapped_and_come_back(tmp_path):
    table = two_people(subject=["P_1", "P_1", "P_1", "sub-02"], session=["a b", "a b", "c", ""])
    with pytest.warns(UserWarning, match="'P_1' became 'P1', 'sub-02' became '02', 'a b' became"):
        folder = write_bids(table, tmp_path / "data")
    assert (folder / "sub-P1/ses-ab/beh/sub-P1_ses-ab_task-agl_beh.tsv").exists()
    order = [3, 0, 1, 2]  # sub-02 comes before sub-P1
    xr.testing.assert_equal(
        read_trials(folder).drop_vars("trial"), table.isel(trial=order).drop_vars("trial")
    )


@pytest.mark.parametrize(
    "change, message",
    [
        ({"subject": ["P1", "P1", "P1", "p1"]}, "share the label 'p1'"),
        ({"subject": ["a-1", "a-1", "a1", "b"]}, "share the label 'a1'"),
        ({"subject": ["é", "é", "é", "b"]}, "label of 0 characters"),
        ({"subject": ["a" * 65, "b", "c", "d"]}, "label of 65 characters"),
        ({"session": ["x", "x", "X", ""]}, "share the label 'X' with 'x'"),
    ],
)
def test_names_that_cannot_be_mapped(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        write_bids(two_people(**change), tmp_path / "data")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name, text", [("item", "NA"), ("item", "<b>X</b>"), ("raw_key", " "),
                                        ("grammar", "A "), ("raw_key", "n/a")])  # fmt: skip
def test_texts_that_would_not_come_back(tmp_path, name, text):
    table = two_people()
    table[name] = table[name].astype(object)
    table[name][1] = text
    with pytest.raises(ValueError, match=f"{name} = {text!r} would not be read back"):
        write_bids(table, tmp_path / "data")


def test_what_is_no_table_is_refused(tmp_path):
    table = two_people()
    with pytest.raises(ValueError, match="missing: rt; make it with"):
        write_bids(table.drop_vars("rt"), tmp_path / "data")
    with pytest.raises(ValueError, match="rt must be in s, got units 'ms'"):
        write_bids(table.assign(rt=table.rt.assign_attrs(units="ms")), tmp_path / "data")
    with pytest.raises(ValueError, match="'colour' would get lost"):
        write_bids(table.assign(colour=table.rt), tmp_path / "data")
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError, match="is a file"):
        write_bids(table, tmp_path / "file")
    with pytest.raises(ValueError, match="task must be"):
        write_bids(table, tmp_path / "data", task="agl-1")
    with pytest.raises(ValueError, match="rt is infinite"):
        write_bids(table.assign(rt=table.rt * np.inf), tmp_path / "data")


def test_nothing_is_replaced_unasked(tmp_path):
    table, folder = two_people(), tmp_path / "data"
    write_bids(table, folder)
    before = {file: file.read_bytes() for file in folder.rglob("*.*") if file.is_file()}
    other = table.assign(rt=table.rt + 1)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        write_bids(other, folder)
    assert before == {file: file.read_bytes() for file in before}
    (folder / "README").write_text("mine")
    write_bids(other, folder, overwrite=True)
    xr.testing.assert_equal(read_trials(folder), other)
    assert (folder / "README").read_text() == "mine"
    with pytest.raises(FileExistsError, match="other tables.*sub-02"):
        write_bids(table.isel(trial=[0, 1, 2]), folder, overwrite=True)
    xr.testing.assert_equal(read_trials(folder), other)


def one_person(subject, **more):
    cells = {"subject": subject, "item": ["XV", "JJ"], "grammatical": [1, 0], "response": [1, 1]}
    return trial_table(cells | more)


def tsv_rows(file):
    with open(file, newline="", encoding="utf-8") as lines:
        return list(csv.reader(lines, delimiter="\t"))


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_second_task_adds_its_people_and_changes_nothing_else(tmp_path, overwrite):
    folder = write_bids(one_person("01"), tmp_path / "data", task="one", name="Mine")
    people = "participant_id\tage\tname\n"
    (folder / "participants.tsv").write_text(people + "sub-01\t31\t01\nsub-09\t44\tn/a\n")
    about = {"age": {"Description": "age", "Units": "year"}, "name": {"Description": "code"}}
    (folder / "participants.json").write_text(json.dumps(about))
    kept = {f: f.read_bytes() for f in folder.rglob("*") if f.is_file()}
    for file in ("participants.tsv", "participants.json"):
        del kept[folder / file]
    other = one_person(["02", "01"], response=[0, 1])
    write_bids(other, folder, task="two", name="Other", authors=["A"], overwrite=overwrite)
    assert tsv_rows(folder / "participants.tsv") == [
        ["participant_id", "age", "name"], ["sub-01", "31", "01"], ["sub-09", "44", "n/a"],
        ["sub-02", "n/a", "02"],
    ]  # fmt: skip
    found = json.loads((folder / "participants.json").read_text())
    assert found["age"] == about["age"] and found["name"] == about["name"]
    assert set(found) == {"participant_id", "age", "name"}
    assert {file: file.read_bytes() for file in kept} == kept
    with pytest.raises(ValueError, match="several tasks"):
        read_trials(folder)
    assert read_trials(folder, task="one").subject.values.tolist() == ["01", "01"]
    assert read_trials(folder, task="two").subject.values.tolist() == ["01", "02"]
    with pytest.raises(FileExistsError, match="overwrite=True"):
        write_bids(other, folder, task="two")


@pytest.mark.parametrize(
    "people, message",
    [
        (
            "participant_id\tname\nsub-01\tP_1\n",
            "'01' would share the label 'sub-01' with 'sub-01'",
        ),
        ("participant_id\nsub-B\n", "'b' would share the label 'sub-b' with 'sub-B'"),
        ("name\nx\n", "allowed: participant_id, then others"),
        ("participant_id\tage\nsub-01\n", "row 2 is"),
        ("participant_id\nsub-01\nsub-01\n", "row 3 is.*each participant once"),
    ],
)
def test_participants_that_cannot_be_added_to(tmp_path, people, message):
    (tmp_path / "participants.tsv").write_text(people)
    with pytest.raises(ValueError, match=message):
        write_bids(one_person(["01", "b"]), tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["participants.tsv"]
    assert (tmp_path / "participants.tsv").read_text() == people


def test_labels():
    assert labels("session", ["ses-a", "b"]) == {"ses-a": "a", "b": "b"}
