"""Files of every format, as they are written and as they go wrong."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neurodyn.analysis.readers import read_trials
from neurodyn.analysis.trials import TrialsError

DATA = Path(__file__).parent / "data" / "trials"
NAN = np.nan
NAMED = ["phase", "block", "item", "grammatical", "rt", "status"]
PATTERN = r"String (?P<item>\w+)"
LEGAL = {"XVJ": True, "XV": True, "VTV": True, "JJ": False, "TXJ": False, "J&J": False}
WAYS = {
    "agl_experiment.json": {},
    "agl_experiment.csv": {"format": "jspsych"},
    "jspsych8.json": {"columns": {"grammatical": "timeline_variables.legal"}},
    "jspsych7.csv": {"format": "jspsych", "responses": {"f": 1, "j": 0}},
    "jspsych6_jatos.txt": {
        "format": "jspsych", "columns": {"subject": "<line>"}, "responses": {70: 1, 74: 0},
    },
    "psychopy.csv": {
        "format": "psychopy", "responses": {"left": 1, "right": 0},
        "columns": {"item": "letters", "grammatical": "legal", "block": "blocks.thisRepN",
                    "correct": None},
    },
    "sub-01_task-agl_beh.tsv": {},
    "psytoolkit.txt": {"format": "psytoolkit", "columns": NAMED},
    "confidence.csv": {
        "format": "confidence", "stimuli": {1: 0, 2: 1}, "responses": {1: 0, 2: 1},
    },
    "psych201.jsonl": {
        "rt_unit": "ms", "pattern": PATTERN, "responses": {"F": 1, "J": 0}, "accepts": LEGAL.get,
    },
}  # fmt: skip
BYTES = {name: (DATA / name).read_bytes() for name in WAYS if (DATA / name).exists()}
BYTES["sub-01_task-agl_beh.tsv"] = next(DATA.rglob("*run-1_beh.tsv")).read_bytes()


def read(name, **more):
    return read_trials(DATA / name, **WAYS[name] | more)


def holds(found, **columns):
    for name, values in columns.items():
        np.testing.assert_array_equal(found[name].values, values, err_msg=name)


def written(tmp_path, text, name="file.csv", **options):
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_trials(tmp_path / name, **options)


def refused(tmp_path, text, name="file.csv", **options):
    with pytest.raises(TrialsError) as caught:
        written(tmp_path, text, name, **options)
    return caught.value


def test_own_experiment_needs_no_options():
    found = read("agl_experiment.json")
    holds(
        found,
        subject=["P01"] * 6, session=["1"] * 6, position=[1, 2, 3, 4, 5, 6],
        phase=["implicit"] * 4 + ["questionnaire", "memory"], block=[1, 1, 2, 2, NAN, 4],
        item=["XVJ", "JJ", "VTV", "TXJ", "", "VT"], grammar=["A"] * 6, agent=["human"] * 6,
        grammatical=[1, 0, 1, 0, NAN, 1], response=[1, 1, 0, 0, NAN, 1],
        correct=[1, 0, 0, 1, NAN, 1], rt=[1.204, 0.95, 2.31, 0.701, NAN, 1.5],
        feedback=[1, 1, 1, 1, NAN, 1], confidence=[NAN] * 4 + [40, NAN],
        raw_key=["f", "f", "j", "j", "", "f"], raw_answer=[""] * 4 + ['["X", "T"]', ""],
    )  # fmt: skip
    assert json.loads(found.attrs["source"]) == ["agl_experiment.json"]
    notes = json.loads(found.attrs["corrected"])
    assert notes["rows that are no trials"] == {"agl_experiment.json": 2}
    assert notes["rt"] == "from ms to s" and found.attrs["format"] == "jspsych"
    assert found.confidence.attrs["units"] == "percent"
    assert read("agl_experiment.json", confidence_unit="1").confidence.attrs["units"] == "1"
    assert read("jspsych8.json").confidence.attrs["units"] == "1"


def test_own_experiment_as_csv_is_the_same():
    one, other = read("agl_experiment.json"), read("agl_experiment.csv")
    same = [name for name in one if name not in ("raw_answer", "raw_truth")]
    xr.testing.assert_equal(one[same], other[same])
    assert [json.loads(text or "0") for text in other.raw_answer.values][4] == ["X", "T"]


def test_jspsych_8_without_a_key_map():
    found = read("jspsych8.json")
    holds(
        found,
        subject=["s7"] * 3, item=["XVJ", "J&J", "VTV"], grammatical=[1, 0, 1],
        correct=[1, 0, 0], response=[1, 1, NAN], rt=[0.812, 1.4335, NAN],
        raw_response=["j", "j", ""], position=[1, 2, 3],
    )  # fmt: skip
    items = read("jspsych8.json", columns={
        "item": "timeline_variables.string", "grammatical": "timeline_variables.legal",
    })  # fmt: skip
    holds(items, item=found.item.values)
    assert items.raw_stimulus.values[1] == '<p style="font-size: 48px">J&amp;J</p>'


FIXATION = {"trial_type": "html-keyboard-response", "stimulus": "<p>+</p>", "response": None}
SHOWN = {"trial_type": "html-keyboard-response", "response": "f", "rt": 500}
TRUTHS = {"XVJ": True, "JJ": False, "VTV": True}


def session(*shows, **data):
    """Rows of jsPsych: the rows given once for each string, all with the data of the timeline."""
    return [
        {"subject": "a", "rt": None, "grammatical": truth, "stimulus": string} | show
        | {name: string for name in data}
        for string, truth in TRUTHS.items() for show in shows
    ]  # fmt: skip


@pytest.mark.parametrize(
    "rows, wanted",
    [
        (session(FIXATION, SHOWN), 'rows={"trial_type": ...}'),
        (session(FIXATION, SHOWN, string=1), 'rows={"trial_type": ...}'),
        (session(FIXATION | {"stimulus": "look here"}, SHOWN), 'rows={"trial_type": ...}'),
        (session(FIXATION, SHOWN | {"trial_type": "own"}), "rows={\"trial_type\": 'own'}"),
        (
            session({"trial_type": "call-function", "stimulus": None, "response": None}, SHOWN),
            "rows={\"trial_type\": 'html-keyboard-response'}",
        ),
        (session(SHOWN, SHOWN | {"stimulus": "Sure?"}, string=1), 'rows={"trial_type": ...}'),
        (session(SHOWN, FIXATION | {"stimulus": "Right!"}), 'rows={"trial_type": ...}'),
        (  # only grammatical ones
            [row for row in session(FIXATION, SHOWN) if row["grammatical"]],
            'rows={"trial_type": ...}',
        ),
    ],
)
def test_fixations_with_the_data_of_their_timeline_are_no_trials(tmp_path, rows, wanted):
    columns = {"item": "string"} if "string" in rows[0] else {}
    ways = {"columns": columns, "responses": {"f": 1}}
    error = refused(tmp_path, json.dumps(rows), "a.json", **ways)
    assert wanted in error.allowed and error.file == "a.json" and error.row <= 4
    marked = [row | {"task": "yes" if row["response"] else ""} for row in rows]
    if not any("Sure?" in str(row["stimulus"]) for row in rows):
        found = written(tmp_path, json.dumps(marked), "a.json", rows={"task": "yes"}, **ways)
        items = [string for string in TRUTHS if any(string in row.values() for row in rows)]
        holds(found, item=items, response=1)
        assert found.position.values.tolist() == list(range(1, found.sizes["trial"] + 1))


def test_time_outs_and_repetitions_are_trials(tmp_path):
    late = {"response": None, "rt": None}
    rows = session(SHOWN, SHOWN | late)
    found = written(tmp_path, json.dumps(rows), "a.json", responses={"f": 1})
    holds(found, item=np.repeat(list(TRUTHS), 2), response=[1, NAN] * 3)
    other = [row | {"subject": "b", "grammatical": not row["grammatical"]} for row in rows]
    found = written(tmp_path, json.dumps(rows + other), "a.json", responses={"f": 1})
    assert found.sizes["trial"] == 12  # what one subject must reject another may accept


def test_jspsych_7_csv():
    holds(
        read("jspsych7.csv"),
        subject=["a", "a", "b"], item=['say "XV" now', "VT", "VJ"], grammatical=[1, 0, 0],
        response=[1, NAN, 0], correct=[1, NAN, 1], rt=[0.6402, NAN, 0.911], position=[1, 2, 1],
        raw_timeline_variables=['{"n":2}', "", ""], raw_response=["f", "", "j"],
    )  # fmt: skip


def test_jspsych_6_of_jatos():
    holds(
        read("jspsych6_jatos.txt"),
        subject=["1", "2", "2"], item=["XV", "XV", "JJ"], response=[1, 1, 0], correct=[1, 1, 1],
        rt=[0.7, 1.3, 0.25], raw_response=["70", "70", "74"],
    )  # fmt: skip


def test_keys_without_a_map_are_refused(tmp_path):
    rows = [{"subject": "a", "grammatical": True, "stimulus": "X", "response": key} for key in "fj"]
    error = refused(tmp_path, json.dumps(rows), "a.json")
    assert "'f', 'j'" in str(error) and "responses=" in error.allowed and error.row == 1
    rows[0]["response"], rows[1]["response"] = 0, 1  # buttons: 0 is the first
    assert "responses=" in refused(tmp_path, json.dumps(rows), "a.json").allowed
    rows[0]["response"], rows[1]["response"] = False, True
    holds(written(tmp_path, json.dumps(rows), "a.json"), response=[0, 1])


def test_psychopy():
    found = read("psychopy.csv")
    holds(
        found,
        subject=["07"] * 4, session=["001"] * 4, item=["XVJ", "JJ", "VTV", "TXJ"],
        grammatical=[1, 0, 1, 0], response=[1, 1, NAN, 0], correct=[1, 0, NAN, 1],
        rt=[0.8123, 1.25, NAN, 0.5], block=[1, 1, 2, 2],
    )  # fmt: skip
    assert found["raw_answer.corr"].values.tolist() == ["1", "0", "0", "0"]
    notes = json.loads(found.attrs["corrected"])
    assert notes["trials with several keys, of which the first counts"] == 1
    assert notes["rows that are no trials"] == {"psychopy.csv": 1}


def test_psychopy_without_a_key_map():
    columns = {"item": "letters", "grammatical": "legal"}
    found = read_trials(DATA / "psychopy.csv", "psychopy", columns=columns)
    holds(found, response=[1, 1, NAN, NAN], correct=[1, 0, 0, NAN],
          raw_response=["left", "left", "", "right"])  # fmt: skip


def test_psychopy_with_two_key_components(tmp_path):
    lines = "participant,grammatical,a.keys,b.keys,b.rt\n1,1,x,y,0.5\n"
    error = refused(tmp_path, lines, format="psychopy", responses={"y": 1})
    assert "a.keys, b.keys" in error.allowed
    chosen = {"response": "b.keys"}
    found = written(tmp_path, lines, format="psychopy", columns=chosen, responses={"y": 1})
    holds(found, response=[1], rt=[0.5])


def test_bids_units_of_the_sidecar():
    found = read_trials(DATA / "bids")
    holds(
        found,
        subject=["01"] * 3, session=["1"] * 3, block=[1, 1, 2], position=[1, 2, 3],
        item=["XVJ", "JJ", "VTV"], grammatical=[1, 0, 1], response=[1, NAN, 0],
        correct=[1, NAN, 0], rt=[0.812, NAN, 1.4335], confidence=[70, NAN, 10],
        raw_trial=["1", "2", "1"],
    )  # fmt: skip
    assert found.confidence.attrs["units"] == "percent"
    assert read_trials(DATA / "bids", rt_unit="s").rt[0] == 812


def test_bids_events():
    holds(
        read_trials(DATA / "events"),
        subject=["01"] * 2, item=["XVJ", "JJ"], rt=[1.2, -0.1], correct=[1, 0],
        raw_onset=["0.0", "2.0"],
    )  # fmt: skip


def test_psytoolkit():
    holds(
        read("psytoolkit.txt"),
        subject=["psytoolkit"] * 3, phase=["implicit"] * 3, block=[1, 1, 1],
        item=["XVJ", "JJ", "VTV"], grammatical=[1, 0, 1], correct=[1, 0, NAN],
        response=[1, 1, NAN], rt=[0.812, 1.433, NAN],
    )  # fmt: skip


def test_confidence_database():
    found = read("confidence.csv")
    holds(
        found,
        subject=["1", "1", "2", "2"], grammatical=[1, 0, 0, 1], response=[1, 1, NAN, 0],
        correct=[1, 0, NAN, 0], confidence=[4, 1, NAN, 3], rt=[0.91, 1.5, NAN, 2.25],
        item=[""] * 4, raw_Prénom=["Zoë", "Zoë", "n", "n"],
    )  # fmt: skip
    assert json.loads(found.attrs["corrected"])["latin-1"] == ["confidence.csv"]
    with pytest.raises(TrialsError, match="the codes '2', '1' mean"):
        read_trials(DATA / "confidence.csv", "confidence", responses={1: 0, 2: 1})
    with pytest.raises(TrialsError, match="not utf-8"):
        read("confidence.csv", encoding="utf-8")


def test_psych201():
    found = read("psych201.jsonl")
    holds(
        found,
        subject=["3", "3", "4"], item=["XVJ", "JJ", "VTV"], grammatical=[1, 0, 1],
        response=[1, 1, 0], correct=[1, 0, 0], rt=[0.812, 1.433, 0.65], raw_age=["31", "31", ""],
    )  # fmt: skip
    with pytest.raises(TrialsError, match="do not say the unit"):
        read("psych201.jsonl", rt_unit=None)
    with pytest.raises(ValueError, match="named groups"):
        read("psych201.jsonl", pattern="no group")


def test_folder_of_several_people(tmp_path):
    text = BYTES["agl_experiment.json"].decode()
    for subject in ("P02", "P01"):
        (tmp_path / f"{subject}.json").write_text(text.replace("P01", subject))
    (tmp_path / ".hidden.json").write_text("no JSON")
    (tmp_path / "notes.md").write_text("no data")
    found = read_trials(tmp_path)
    assert found.subject.values.tolist() == ["P01"] * 6 + ["P02"] * 6
    both = read_trials([tmp_path / "P01.json", tmp_path / "P02.json"])
    xr.testing.assert_equal(found, both)
    (tmp_path / "copy.json").write_text(text)
    with pytest.raises(TrialsError, match="copy.json, row 2.*keep the newest") as caught:
        read_trials(tmp_path)
    assert caught.value.file == "copy.json" or caught.value.file == "P01.json"


def test_own_and_other_confidence_are_not_mixed(tmp_path):
    (tmp_path / "a.json").write_bytes(BYTES["agl_experiment.json"])
    rows = [{"subject": "b", "grammatical": True, "response": True, "rt": 5, "confidence": 3}]
    (tmp_path / "b.json").write_text(json.dumps(rows))
    with pytest.raises(TrialsError, match="the files give confidence in 1 and percent"):
        read_trials(tmp_path)
    del rows[0]["confidence"]
    (tmp_path / "b.json").write_text(json.dumps(rows))
    assert read_trials(tmp_path).confidence.attrs["units"] == "percent"


def test_files_follow_each_other_by_their_numbers(tmp_path):
    """ses-2 comes before ses-10, and so the learning of the day before."""
    names = ["P10/ses-1", "P2/ses-10", "P2/ses-2", "P2/ses-1", "P2/ses-02"]
    for name in names:
        file = tmp_path / f"{name}.csv"
        file.parent.mkdir(exist_ok=True)
        subject, session = name.split("/")
        file.write_text(f"subject,session,grammatical,correct\n{subject},{session},1,1\n")
    found = read_trials(tmp_path, "jspsych")
    order = ["P2/ses-1", "P2/ses-02", "P2/ses-2", "P2/ses-10", "P10/ses-1"]
    assert json.loads(found.attrs["source"]) == [f"{name}.csv" for name in order]
    assert [f"{s}/{e}" for s, e in zip(found.subject.values, found.session.values)] == order  # noqa: B905


def test_items_read_as_missing_are_counted(tmp_path):
    lines = "participant,item,grammatical,k.keys\n1,NA,1,f\n1,NA,1,f\n1,XV,1,f\n1,,1,f\n"
    ways = {"format": "psychopy", "responses": {"f": 1}}
    found = written(tmp_path, lines, **ways)
    holds(found, item=["", "", "XV", ""])
    assert json.loads(found.attrs["corrected"])["items read as missing"] == {"NA": 2}
    decided = lines.replace(",grammatical", "").replace(",1,f", ",f")
    found = written(tmp_path, decided, accepts=lambda string: string == "NA", **ways)
    holds(found, item=["XV"])
    assert json.loads(found.attrs["corrected"])["items read as missing"] == {"NA": 2}
    found = written(
        tmp_path, decided, accepts=lambda string: string == "NA", missing=["n/a"], **ways
    )
    holds(found, item=["NA", "NA", "XV"], grammatical=[1, 1, 0])


@pytest.mark.parametrize(
    "options, kind, message",
    [
        ({"encoding": "foo"}, ValueError, "encoding 'foo' is not known"),
        ({"encoding": "rot13"}, ValueError, "encoding 'rot13' is not known"),
        ({"encoding": "utf-8\0"}, ValueError, "is not known"),
        ({"encoding": "utf-16"}, TrialsError, "not utf-16"),
        ({"encoding": 8}, TypeError, "encoding must be a name"),
        ({"delimiter": "ab"}, ValueError, "delimiter must be one character"),
        ({"delimiter": ""}, ValueError, "delimiter must be one character"),
        ({"delimiter": '"'}, ValueError, "delimiter must be one character"),
        ({"rows": {"legal": None}}, ValueError, "rows map names of columns to the text"),
        ({"rows": {"legal": [1, None]}}, ValueError, "rows map names of columns to the text"),
        ({"rows": {"legal": float("inf")}}, ValueError, "rows map names of columns to the text"),
        ({"rows": {3: 1}}, ValueError, "rows map names of columns to the text"),
        ({"columns": {"item": 3}}, TypeError, "columns map variables to names of columns"),
        ({"responses": ["f", "j"]}, TypeError, "responses must map .*{'f': 1, 'j': 0}"),
        ({"stimuli": [1, 2]}, TypeError, "stimuli must map"),
        ({"phases": ["train"]}, TypeError, "phases must map"),
        ({"missing": "NA"}, TypeError, "missing must be a list of texts"),
        ({"keep": [3]}, ValueError, 'keep must be "all", "none" or a list'),
        ({"keep": None}, ValueError, 'keep must be "all", "none" or a list'),
        ({"pattern": 3}, TypeError, "pattern must be a regular expression"),
        ({"keep": ["foo"]}, TrialsError, 'no columns raw_foo to keep; allowed: keep="none"'),
    ],
)
def test_options_that_no_file_can_meet(tmp_path, options, kind, message):
    lines = "participant,item,grammatical,k.keys\n1,XV,1,f\n"
    with pytest.raises(kind, match=message) as caught:
        written(tmp_path, lines, **{"format": "psychopy", "responses": {"f": 1}} | options)
    assert caught.type is kind


def test_psytoolkit_names_of_blocks(tmp_path):
    """BLOCKNAME is a name, such as b1: no count, but a phase by a map, or kept as it is."""
    lines = "b1 XV 1 450 1\nb2 JJ 0 500 2\n"
    rest = ["item", "grammatical", "rt", "status"]
    with pytest.raises(ValueError, match=r'columns=\["blockname", "item", "grammatical"'):
        written(tmp_path, lines, "p.txt", format="psytoolkit")
    kept = written(tmp_path, lines, "p.txt", format="psytoolkit", columns=["blockname", *rest])
    holds(kept, raw_blockname=["b1", "b2"], block=[NAN, NAN])
    phases = {"b1": "train", "b2": "test"}
    found = written(
        tmp_path, lines, "p.txt", format="psytoolkit", columns=["phase", *rest], phases=phases
    )
    holds(found, phase=["train", "test"], correct=[1, 0])


def test_errors_name_the_column_of_the_file(tmp_path):
    text = BYTES["psychopy.csv"].replace(b"1.25", b"fast")
    error = refused(tmp_path, text, **WAYS["psychopy.csv"])
    assert (error.row, error.column, error.value) == (4, "answer.rt", "fast")
    assert str(error).startswith("file.csv, row 4, column 'answer.rt', value 'fast': as rt, cannot")
    error = refused(tmp_path, BYTES["psychopy.csv"].replace(b"left", b"up"), **WAYS["psychopy.csv"])
    assert (error.row, error.column, error.value) == (3, "answer.keys", "up")
    text = BYTES["confidence.csv"].replace(b"1,1,2,1", b"1,1,3,1")
    error = refused(tmp_path, text, **WAYS["confidence.csv"])
    assert (error.row, error.column, error.value) == (3, "Response", "3")


def test_what_to_keep_and_which_rows():
    one = {"keep": ["key"]}
    assert [n for n in read("agl_experiment.json", **one) if n.startswith("raw_")] == ["raw_key"]
    assert not [n for n in read("agl_experiment.json", keep="none") if n.startswith("raw_")]
    with pytest.raises(TrialsError, match="no columns raw_colour to keep"):
        read("agl_experiment.json", keep=["colour"])
    memory = read("agl_experiment.json", rows={"phase": ["memory", "explicit"]})
    assert memory.item.values.tolist() == ["VT"]
    with pytest.raises(TrialsError, match="no row has"):
        read("agl_experiment.json", rows={"phase": "transfer"})
    filled = read("jspsych7.csv", fill={"phase": "test", "subject": "nobody"})
    assert set(filled.phase.values) == {"test"} and set(filled.subject.values) == {"a", "b"}


def test_formats_that_names_do_not_say(tmp_path):
    error = refused(tmp_path, "a,b\n1,2\n")
    assert "'jspsych', 'psychopy', 'bids'" in error.allowed
    with pytest.raises(ValueError, match="format 'eprime' is not one of"):
        read_trials(tmp_path, "eprime")
    with pytest.raises(FileNotFoundError, match="no file"):
        read_trials(tmp_path / "none.json")
    with pytest.raises(TrialsError, match="no files of format 'psych201'"):
        read_trials(tmp_path, "psych201")
    with pytest.raises(ValueError, match="save line"):
        read_trials(tmp_path, "psytoolkit")
    with pytest.raises(ValueError, match="columns names 'string'"):
        read_trials(tmp_path, "jspsych", columns={"string": "item"})


class Opened:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was opened",))


@pytest.mark.parametrize("name", ["a.psydat", "a.pkl", "a.npy", "a.csv"])
def test_pickles_are_never_opened(tmp_path, name):
    error = refused(tmp_path, pickle.dumps(Opened()), name, format="psychopy")
    assert "pickle" in str(error) and "CSV" in error.allowed and error.file == name


CSV = "subject,grammatical,item,response,rt\n"


@pytest.mark.parametrize(
    "text, row, column, value, allowed",
    [
        (CSV + "a,1,XV,true,12\nb,1,XV,true,soon\n", 3, "rt", "soon", "finite number"),
        (CSV + "a,1,XV,true,12\n\n\nb,maybe,XV,true,1\n", 5, "grammatical", "maybe", "1 or 0"),
        (CSV + "a,1,XV,true,12\nb,1,XV,true\n", 3, "rt", "true", "5, as many as columns"),
        (CSV + "a,1,XV,true,12,13\n", 2, "rt", "13", "5, as many as columns"),
        (CSV + 'a,1,"XV,true,12\n', 2, "", None, "straight quotes"),
        (CSV + "a,1," + "X" * 200_000 + ",true,12\n", 2, "", None, "at most 131072"),
        (CSV + "a,1,X\0,true,12\n", 2, "", "\0", "UTF-8"),
        (CSV + ",1,XV,true,12\n", 2, "subject", "", "a name"),
        ("subject,rt,rt\na,1,2\n", 1, "rt", None, "each name once"),
        ("subject;rt\na;1\n", 1, "subject;rt", None, "delimiter=';'"),
        (CSV, None, "", None, "one trial or more"),
        ("  \n", None, "", None, "one trial or more"),
        ('[{"subject": "a"}, 3]', 2, "", 3, "an object"),
        ('[{"subject": "a"}, {"subject', 1, "", None, "cut off"),
        ('[{"a": 1}]\n[{"a"\n', 2, "", None, "cut off"),
        ('[{"rt": 1, "rt": 2}]', 1, "", None, "one array"),
        ("[" * 100_000, 1, "", None, "one array"),
        ("[]", None, "", None, "one object"),
    ],
)
def test_where_a_file_is_wrong(tmp_path, text, row, column, value, allowed):
    error = refused(tmp_path, text, "some.csv", format="jspsych")
    assert (error.file, error.row, error.column, error.value) == ("some.csv", row, column, value)
    assert allowed in error.allowed
    for part in ("some.csv", *([f"row {row}"] if row else []), column, allowed):
        assert part in str(error)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_line_ends_and_marks(tmp_path, end, mark):
    text = mark + (CSV + 'a,1,"X,V",true,12\nb,0,"X\n""V""",false,5\n').replace("\n", end).encode()
    holds(written(tmp_path, text, format="jspsych"), item=["X,V", 'X "V"'], rt=[0.012, 0.005])


# Every way in which a file can be broken: what its bytes, lines, cells or values become.
nasty = st.sampled_from(
    [b"\0", b"\xff\xfe", b"\x80\x05", b'"', b"\r", b"\n\r\n", b",", b"\t", b"'", b"[" * 3000,
     b'{"a":' * 3000, b"9" * 5000, b"1e999", b"-1e-999", b"NaN", b"Infinity", b"null", b"n/a",
     b"\\ud800", b"\\u0000", b"\xed\xa0\x80", b"<<", b">>", b"<b", b"&#0;", b"&#xD800;",
     b"x" * 140_000, b"\xe2\x80\xa8", b"true", b"0", b"['f', 'j']", b"[1+1]", b"['\\d']",
     b"{}", b"[]", b"-",
     b"questionnaire", b"agl", b"\x1a", b" "]
)  # fmt: skip
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(10**308, 10**320) | st.floats()
    | st.text(max_size=8) | st.sampled_from(["agl", "X", "f", "1", "[1]", '{"legal": [1]}']),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@st.composite
def malformed(draw):
    """Return the name of a format's file, and bytes that were once that file, or never."""
    name = draw(st.sampled_from(sorted(BYTES)))
    data = BYTES[name]
    kind = draw(st.sampled_from(["bytes", "cut", "splice", "lines", "values", "headers"]))
    if kind == "bytes":
        return name, draw(st.binary(max_size=80))
    if kind == "values" and name.endswith((".json", ".jsonl", ".txt")) and name != "psytoolkit.txt":
        head, _, rest = data.decode().partition("\n")
        head, rest = (head, rest) if "jsonl" in name or "jatos" in name else (data.decode(), "")
        tree = json.loads(head)
        row = tree if isinstance(tree, dict) else draw(st.sampled_from(tree))
        row[draw(st.sampled_from([*sorted(row), "item", "rt", "phase", "block"]))] = draw(values)
        return name, (json.dumps(tree) + "\n" + rest).encode()
    if kind in ("values", "headers", "lines"):
        lines = data.split(b"\n")
        one = draw(st.integers(0, len(lines) - 1)) * (kind != "headers")
        sign = b"\t" if b"\t" in data else b"," if b"," in data else b" "
        cells = lines[one].split(sign)
        place = draw(st.integers(0, len(cells) - 1))
        if kind == "lines":
            lines.insert(draw(st.integers(0, len(lines))), draw(st.sampled_from(lines)))
            lines[one] = sign.join(cells[:place])
        elif kind == "headers" and draw(st.booleans()):
            cells[place] = draw(st.sampled_from(cells))
            lines[one] = sign.join(cells)
        else:
            cells[place] = draw(nasty | values.map(lambda v: str(v).encode("utf-8", "replace")))
            lines[one] = sign.join(cells)
        return name, draw(st.sampled_from([b"\n", b"\r\n", b"\r"])).join(lines)
    start = draw(st.integers(0, len(data)))
    end = draw(st.integers(start, min(len(data), start + 40)))
    if kind == "cut":
        return name, data[:start]
    return name, data[:start] + draw(nasty | st.binary(max_size=6)) + data[end:]


def test_a_malformed_file_gives_a_table_or_a_trials_error(tmp_path):
    outcomes = {"read": 0, "refused": 0}

    @settings(max_examples=600, suppress_health_check=list(HealthCheck))
    @given(malformed())
    def check(case):
        name, data = case
        (tmp_path / name).write_bytes(data)
        try:
            found = read_trials(tmp_path / name, **WAYS[name])
        except TrialsError as error:
            outcomes["refused"] += 1
            assert error.file == name and error.allowed and len(str(error)) < 1600
            return
        outcomes["read"] += 1
        assert "" not in found.subject.values
        for truth in (found.grammatical, found.response, found.correct, found.feedback):
            assert np.isin(truth.values[~np.isnan(truth)], [0, 1]).all()
        answered = ~np.isnan(found.response) & ~np.isnan(found.grammatical)
        right = (found.response == found.grammatical).where(answered)
        np.testing.assert_array_equal(found.correct.where(answered), right)

    check()
    assert outcomes["refused"] > 200 and outcomes["read"] > 80, outcomes
