"""The experiment's page: its text, and people made of code who go through it in a browser."""

import base64
import hashlib
import importlib.util
import itertools
import json
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest

from neurodyn.analysis.readers import read_trials
from neurodyn.experiment import experiment
from neurodyn.experiment.questions import error_questions, letter_questions, score_error
from neurodyn.stimuli.grammar import automaton, grammar
from neurodyn.stimuli.grammar_items import stimulus_set

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
browsers = pytest.mark.skipif(
    not CHROMIUM or not importlib.util.find_spec("playwright"),
    reason="needs playwright (pip) and a chromium on the PATH",
)


class Parts(HTMLParser):
    """The tags of a page, and the text inside its scripts and styles."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self.open = [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self.open = dict(attrs).get("id", tag)
            self.texts.append((self.open, ""))

    def handle_endtag(self, tag):
        if tag in ("script", "style"):
            self.open = None

    def handle_data(self, data):
        if self.open:
            self.texts[-1] = (self.open, self.texts[-1][1] + data)

    def inside(self, name):
        return [text for kind, text in self.texts if kind == name]


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The demo of a grammar, written once."""
    pages = {}

    def page(name):
        if name not in pages:
            pages[name] = experiment(name, out=tmp_path_factory.mktemp("page"), demo=True)
        return pages[name]

    return page


BRIEF = {"blocks": 2, "trials": 2, "explicit": 2, "memory": 2}


def config_of(page):
    return json.loads(Parts(page.read_text()).inside("config")[0])


# ---- the page's text ----


@pytest.mark.parametrize("name", ["A", "CF", "saffran"])
def test_page_fetches_nothing(demo, name):
    text = demo(name).read_text()
    parts = Parts(text)
    for tag, attributes in parts.tags:
        for key in ("src", "href", "action", "data", "poster", "srcset"):
            assert re.match(r"data:|#|$", attributes.get(key, "")), (tag, attributes)
    for style in [*parts.inside("style"), *(a.get("style") or "" for _, a in parts.tags)]:
        assert not re.search(r"@import|url\((?!#)", style)
    assert "sourceMappingURL" not in text
    assert "@font-face" not in text
    assert len(text) < 250_000


def test_policy_allows_exactly_the_two_scripts(demo):
    parts = Parts(demo("A").read_text())
    policies = [a["content"] for _, a in parts.tags if "http-equiv" in a]
    hashes = {
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
        for script in parts.inside("script")
    }
    assert len(policies) == 1 and len(hashes) == 2
    rules = dict(rule.strip().split(" ", 1) for rule in policies[0].split(";"))
    assert set(rules["script-src"].split()) == hashes
    assert rules["default-src"] == "'none'"
    assert not re.search(r"https?:|\*|unsafe-eval|connect-src", policies[0])


def test_licences_and_language(demo):
    parts = Parts(demo("A").read_text())
    (licences,) = parts.inside("licences")
    for owner in ("Joshua R. de Leeuw", "Sindre Sorhus", "P'unk Avenue", "David Bau", "Baagøe"):
        assert owner in licences
    assert licences.count("Permission is hereby granted, free of charge") == 5
    assert ("html", {"lang": "en"}) in parts.tags


def test_same_seed_same_bytes(tmp_path):
    one, two, other = (
        experiment("A", out=tmp_path / folder, blocks=1, trials=4, seed=seed).read_bytes()
        for folder, seed in (("one", 3), ("two", 3), ("other", 4))
    )
    assert one == two != other


@pytest.mark.parametrize("name", ["A", "CF"])
def test_strings_are_those_of_the_stimulus_set(tmp_path, name):
    config = config_of(experiment(name, out=tmp_path, trials=20, explicit=6, memory=4, seed=2))
    rule = grammar(name)
    items = stimulus_set(name, train=160, validation=6, test=4, seed=2)
    for phase, split, size in (
        ("implicit", "train", 160), ("explicit", "validation", 6), ("memory", "test", 4)
    ):  # fmt: skip
        shown = config["items"][phase]
        assert [x["string"] for x in shown] == list(items.string.values[items.split == split])
        assert sum(x["grammatical"] for x in shown) * 2 == len(shown) == size
        assert all(rule.accepts(x["string"]) == x["grammatical"] for x in shown)


def test_no_scheme_and_no_questions_where_none_are_asked_for(tmp_path):
    config = config_of(
        experiment("A", out=tmp_path, explicit=0, memory=0, questionnaire=False, trials=2)
    )
    assert config["items"]["explicit"] == config["items"]["memory"] == config["questions"] == []
    assert config["scheme"] == ""


@pytest.mark.parametrize("name", ["A", "B", "SXK"])
def test_questions_about_letters_by_looking_at_many_strings(name):
    rule = grammar(name)
    strings = set(rule.sample(4000, seed=0))

    def letters_after(context):
        return {b for s in strings for b in rule.alphabet if context + b in s}

    questions = letter_questions(rule)
    truths = [set(question["truth"]) for question in questions]
    assert len(questions) == 7
    assert truths[0] == {s[0] for s in strings}
    assert truths[1] == {s[-1] for s in strings}
    assert truths[2] == {s[1] for s in strings if len(s) > 1}
    assert truths[3] == {a for a in rule.alphabet if not any(a + a in s for s in strings)}
    contexts = [question["text"].split()[-1].rstrip("?") for question in questions[4:]]
    assert truths[4:] == [letters_after(context) for context in contexts]
    if name == "B":  # as printed in the paper, appendix C1
        assert contexts == ["X", "MX", "XT"]
    for truth, letters in zip(truths[4:], contexts, strict=True):
        assert 0 < len(truth) < len(rule.alphabet), letters


@pytest.mark.parametrize("name", ["CF", "CS"])
def test_questions_about_errors_are_new_and_wrong(name):
    rule = grammar(name)
    before = {question.get("item") for question in error_questions(rule, set(), 0)[:3]}
    *questions, last = error_questions(rule, before, 0)
    assert last == {"kind": "rule"}
    assert len({question["item"] for question in questions} - before) == len(questions) == 7
    for question in questions:
        item, source = question["item"], question["source"]
        assert rule.accepts(source) and not rule.accepts(item)
        differ = [i for i in range(len(item)) if item[i] != source[i]]
        ways = {}
        for i in range(len(item)):
            for j in range(i):
                other = list(item)
                other[i], other[j] = item[j], item[i]
                if rule.accepts("".join(other)):
                    ways[j, i] = "".join(other)
        assert {tuple(places) for places in question["truth"]} == set(ways)
        assert set(question["repairs"]) == set(ways.values())
        assert differ in question["truth"] and source in question["repairs"]
        middle = len(item) // 2
        assert {i < middle and j < middle for i, j in ways} == {True, False}  # in either half


@pytest.mark.parametrize("name", ["CF", "CS", "AnBn", "biconditional"])
def test_any_repair_counts_and_nothing_else(name):
    """Every way of marking places, and every string near, against what the grammar says."""
    rule = grammar(name)
    for question in error_questions(rule, set(), 0)[:2]:
        item, source = question["item"], question["source"]
        changed = sum(a != b for a, b in zip(item, source, strict=True))
        right = set()
        for places in itertools.combinations(range(len(item)), changed):
            strings = set()
            if changed == 2:
                (i, j), other = places, list(item)
                other[i], other[j] = item[j], item[i]
                strings = {"".join(other)}
            else:
                (i,) = places
                strings = {item[:i] + letter + item[i + 1 :] for letter in rule.alphabet}
            right |= {string for string in strings if rule.accepts(string)}
            expected = any(map(rule.accepts, strings))
            assert score_error(question, list(places), "")["found"] == expected
            assert not score_error(question, [*places, 99], "")["found"]
        assert source in right
        near = {source, item, source[::-1], *rule.sample(200, seed=1), *right}
        for string in near:
            assert score_error(question, [], f" {string} ")["repaired"] == (string in right)


@pytest.mark.parametrize(
    "asked, says",
    [
        ({"trials": 5}, "trials must be even, because half of the strings are wrong, got 5"),
        ({"memory": 3}, "memory must be even"),
        ({"blocks": 0}, "blocks must be a whole number from 1 up, got 0"),
        ({"feedback_ms": -1}, "feedback_ms must be a whole number from 0 up, got -1"),
        ({"fixation_ms": 0.5}, "fixation_ms must be a whole number"),
        ({"seed": True}, "seed must be a whole number"),
        ({"demo": True, "blocks": 3}, "demo sets blocks, trials, explicit, memory itself"),
        ({"grammar": "Z"}, "grammar 'Z' is not one of A, B, CF, CS"),
        ({"grammar": "RQ", "overlap": "disjoint"}, "RQ has 24 different strings"),
        ({"grammar": "CF", "overlap": "some"}, "overlap 'some' is not one of"),
        ({"grammar": "saffran", "trials": 60}, "questionnaire=False"),
    ],
)
def test_errors_at_the_door(tmp_path, asked, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        experiment(**asked, out=tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_errors_about_places_and_types(tmp_path):
    (tmp_path / "index.html").write_text("my own page")
    with pytest.raises(ValueError, match="is another page"):
        experiment(out=tmp_path, demo=True)
    with pytest.raises(ValueError, match="must be a folder"):
        experiment(out=tmp_path / "index.html", demo=True)
    with pytest.raises(TypeError, match="a name or a Grammar, got int"):
        experiment(3, out=tmp_path / "x")
    assert (tmp_path / "index.html").read_text() == "my own page"


# ---- in a browser ----


@pytest.fixture(scope="module")
def chromium():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium):
    """Open a page with a clock that can be put forward; fail on errors and on any request."""
    contexts, faults = [], []

    def open_page(path, query="", init=None, **options):
        context = chromium.new_context(accept_downloads=True, **options)
        contexts.append(context)
        context.clock.install()
        context.on("request", lambda r: r.url.startswith("file:") or faults.append(r.url))
        if init:
            context.add_init_script(init)
        page = context.new_page()
        page.set_default_timeout(8000)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda m: m.type == "error" and faults.append(m.text))
        page.goto(f"{path.as_uri()}{query}")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not [url for url in faults if not url.startswith("blob:")]


class Participant:
    """Someone who calls a string correct if the rule in their head does."""

    def __init__(self, page, rule, touch=False):
        self.page, self.rule, self.touch = page, rule, touch
        self.pressed = []  # (string, what was answered)

    @property
    def title(self):
        heading = self.page.query_selector("h1")
        return heading.inner_text() if heading else ""

    def string(self):
        """Wait through the fixation cross for the next string."""
        self.page.wait_for_selector(".string.fixation")
        self.page.clock.fast_forward(500)
        self.page.wait_for_selector(".answers button:enabled")
        return self.page.inner_text(".string")

    def answer(self):
        """Answer a string; its feedback is on the screen afterwards."""
        string = self.string()
        correct = bool(self.rule(string))
        word = "correct" if correct else "wrong"
        button = self.page.locator(".answers button", has_text=word)
        if self.touch:
            button.tap()
        else:
            left = button.get_attribute("data-side") == "left"
            self.page.keyboard.press("f" if left else "ArrowRight")
        self.page.wait_for_selector(".stage:is(.right, .wrong)")
        self.pressed.append((string, correct))

    def go_on(self):
        """Wait for the end of the feedback."""
        self.page.clock.fast_forward(2000)
        self.page.wait_for_function("!document.querySelector('.stage:is(.right, .wrong)')")

    def fill(self):
        """Fill in a screen and send it."""
        page = self.page
        if page.query_selector("[type=checkbox]"):
            page.locator(".tile").first.click()
        if page.query_selector("[name=corrected]"):
            page.fill("[name=corrected]", "pnht")
        if page.query_selector("textarea"):
            page.fill("textarea", 'pairs, "mirrored";\nor so')
        if page.query_selector("[type=range]"):
            assert page.is_disabled(".next")
            page.fill("[type=range]", "73")
        page.evaluate("document.querySelector('form').dataset.old = 1")
        page.click(".next")
        page.wait_for_function("!document.querySelector('[data-old]')")

    def finish(self, until=lambda: False):
        """Go on to the end, or until something is so."""
        while not until():
            self.page.wait_for_selector(".stage, .screen")
            if self.page.query_selector(".stage"):
                self.answer()
                self.go_on()
            elif self.title == "Thank you":
                return
            else:
                self.fill()

    def file(self, format, folder):
        with self.page.expect_download() as download:
            self.page.click(f"[data-format={format}]")
        path = folder / download.value.suggested_filename
        download.value.save_as(path)
        return path


def even(string):
    return len(string) % 2 == 0


def fnv_mulberry(text):
    """The page's stream of numbers, written a second time."""
    bits = 2166136261
    for byte in text.encode():
        bits = (bits ^ byte) * 16777619 % 2**32
    while True:
        bits = (bits + 0x6D2B79F5) % 2**32
        mixed = (bits ^ bits >> 15) * (bits | 1) % 2**32
        mixed ^= (mixed + (mixed ^ mixed >> 7) * (mixed | 61)) % 2**32
        yield (mixed ^ mixed >> 14) % 2**32 / 2**32


def shuffled(values, numbers):
    values = list(values)
    for last in range(len(values) - 1, 0, -1):
        other = int(next(numbers) * (last + 1))
        values[last], values[other] = values[other], values[last]
    return values


@browsers
def test_plan_follows_from_seed_and_participant(tmp_path, visit):
    path = experiment("A", out=tmp_path, seed=5)
    config = config_of(path)
    page = visit(path, "?subject=S12&session=2")

    def plan(subject):
        script = "([config, subject]) => makePlan(config, subject, '2')"
        return page.evaluate(script, [config, subject])

    rows = [step["data"] for step in plan("S12")["steps"] if "data" in step]
    numbers = fnv_mulberry("5|S12|2")
    for phase, blocks in (("implicit", range(1, 9)), ("explicit", [9]), ("memory", [10])):
        halves = [
            shuffled(
                [x["string"] for x in config["items"][phase] if x["grammatical"] is g], numbers
            )
            for g in (True, False)
        ]
        size = len(halves[0]) // len(blocks)
        for index, block in enumerate(blocks):
            chosen = [x for half in halves for x in half[index * size : (index + 1) * size]]
            found = [row for row in rows if row["phase"] == phase and row["block"] == block]
            assert [row["item"] for row in found] == shuffled(chosen, numbers)
            assert sum(row["grammatical"] for row in found) * 2 == len(found) == 2 * size
    assert [row["position"] for row in rows] == list(range(1, 480 + 7 + 20 + 20 + 1))
    sides = [plan(subject)["correctSide"] for subject in ("1", "2", "S13", "S14", "a", "b")]
    assert sides[:4] == ["left", "right"] * 2
    assert set(sides) == {"left", "right"}
    other = [step["data"]["item"] for step in plan("S14")["steps"] if "data" in step]
    assert other != [row["item"] for row in rows] and sorted(other) == sorted(
        row["item"] for row in rows
    )


@browsers
def test_participant_reloads_and_takes_home_a_file_that_loads(demo, tmp_path, visit):
    path = demo("A")
    page = visit(path)
    person = Participant(page, even)
    page.fill("[name=subject]", "not a name!")
    page.click(".next")
    assert person.title == "Before we begin"  # the browser says what is allowed
    page.fill("[name=subject]", "P07")
    person.fill()
    person.finish(until=lambda: len(person.pressed) == 5)
    before = person.string()
    page.reload()  # in front of a string: the same one comes again
    assert person.title == "Welcome back"
    person.fill()
    assert page.inner_text(".string") == "+"
    person.answer()
    assert person.pressed[-1][0] == before
    page.reload()  # during the feedback: the answer stands
    person.fill()
    person.finish()
    files = {kind: person.file(kind, tmp_path) for kind in ("json", "csv")}
    assert files["json"].name == "agl-A_sub-P07_ses-1.json"

    rows = json.loads(files["json"].read_text())
    trials = [row for row in rows if row["phase"] != "questionnaire"]
    plan = page.evaluate("makePlan(config, 'P07', '1').steps.filter((step) => step.trial)")
    assert [row["item"] for row in trials] == [step["trial"] for step in plan]
    assert [(row["item"], row["response"] == 1) for row in trials] == person.pressed
    assert {row["key"] for row in trials} == {"f", "arrowright"}
    assert [row["position"] for row in rows] == list(range(1, 16 + 7 + 8 + 1))
    elapsed = [row["time_elapsed"] for row in rows]
    assert elapsed == sorted(elapsed) and all(0 <= row["rt"] < 8000 for row in rows)
    share = [row["sensitivity"] for row in rows if row["phase"] == "questionnaire"]
    assert share[0] == 1 / 2  # of X and V, which can come first, X was chosen

    rule = grammar("A")
    for format in ("json", "csv"):
        table = read_trials(files[format], *(() if format == "json" else ("jspsych",)))
        asked = table.isel(trial=(table.phase == "questionnaire").values)
        table = table.isel(trial=(table.phase != "questionnaire").values)
        for phase in ("implicit", "explicit", "memory"):
            part = table.isel(trial=(table.phase == phase).values)
            truth = [rule.accepts(s) == even(s) for s in part.item.values.tolist()]
            assert part.correct.mean() == np.mean(truth)
        assert list(table.item.values) == [string for string, _ in person.pressed]
        assert table.response.values.tolist() == [answer for _, answer in person.pressed]
        assert set(table.subject.values) == {"P07"} and (table.feedback == 1).all()
        np.testing.assert_allclose(table.rt, [row["rt"] / 1000 for row in trials])
        assert asked.confidence.values.tolist() == [73.0] * 7

    page.reload()  # nothing is lost, and nobody else is taken for them
    assert person.title == "Before we begin"
    page.fill("[name=subject]", "P07")
    page.click(".next")
    page.wait_for_selector("text=Thank you")
    (tmp_path / "again").mkdir()
    assert person.file("json", tmp_path / "again").read_bytes() == files["json"].read_bytes()


@browsers
def test_touch_on_a_phone(tmp_path, visit):
    page = visit(
        experiment("CF", out=tmp_path, **BRIEF), "?subject=12", has_touch=True, is_mobile=True,
        viewport={"width": 390, "height": 844},
    )  # fmt: skip
    person = Participant(page, lambda string: string < "H", touch=True)
    screens = set()

    def fits():
        page.wait_for_selector(".stage, .screen")
        what = person.title or page.inner_text("#jspsych-progressbar-container")
        if what not in screens:
            screens.add(what)
            assert page.evaluate("document.documentElement.scrollWidth") == 390
            for button in page.query_selector_all("button, .tile, [type=range]"):
                box = button.bounding_box()
                assert box["height"] >= 44 and box["width"] >= 34
                assert box["x"] >= 0 and box["x"] + box["width"] <= 390
        return False

    person.finish(until=fits)
    assert {"Welcome", "How to answer", "A pause", "With the scheme", "From memory"} <= screens
    rows = json.loads(person.file("json", tmp_path).read_text())
    trials = [row for row in rows if row["phase"] != "questionnaire"]
    assert [(row["item"], row["response"] == 1) for row in trials] == person.pressed
    assert {(row["input"], row["key"]) for row in trials} == {
        ("touch", "left button"), ("touch", "right button")
    }  # fmt: skip
    *errors, rule = [row for row in rows if row["phase"] == "questionnaire"]
    assert [row["corrected"] for row in errors] == ["PNHT"] * 7
    assert {tuple(row["answer"]) for row in errors} == {(0,)}
    assert {(row["found"], row["repaired"]) for row in errors} == {(False, False)}
    assert rule["answer"] == 'pairs, "mirrored";\nor so'
    table = read_trials(person.file("csv", tmp_path), "jspsych")
    assert table.sizes["trial"] == 4 + 8 + 4


@browsers
def test_errors_marked_in_either_half_count(tmp_path, visit):
    """The page scores as Python does, whichever way an error is put right."""
    short = {"blocks": 1, "trials": 2, "explicit": 0, "memory": 0}
    page = visit(experiment("CS", out=tmp_path, **short), "?subject=1")
    *questions, _ = config_of(tmp_path / "index.html")["questions"]
    person = Participant(page, even)
    person.finish(until=lambda: bool(page.query_selector("[name=corrected]")))
    for number, question in enumerate(questions):
        places, string = question["truth"][number % 2], question["repairs"][number % 2].lower()
        if number > 4:
            places, string = [0], question["item"]
        for place in places:
            page.locator(".tile").nth(place).click()
        page.fill("[name=corrected]", f" {string} " if number % 3 else " ".join(string))
        page.fill("[type=range]", "50")
        page.evaluate("document.querySelector('form').dataset.old = 1")
        page.click(".next")
        page.wait_for_function("!document.querySelector('[data-old]')")
    person.finish()
    rows = json.loads(person.file("json", tmp_path).read_text())
    errors = [row for row in rows if row.get("question") == "mark the error"]
    assert [(row["found"], row["repaired"]) for row in errors] == [(True,) * 2] * 5 + [
        (False,) * 2
    ] * 2
    for row, question in zip(errors, questions, strict=True):
        assert row["truth"] == question["truth"] and len(row["truth"]) > 1
        scores = score_error(question, row["answer"], row["corrected"])
        assert scores == {name: row[name] for name in scores}


@browsers
@pytest.mark.parametrize("name", ["B", "CF"])
@pytest.mark.parametrize("width, height, least", [(1280, 800, 14), (390, 844, 9)])
def test_letters_of_the_scheme_can_be_read(tmp_path, visit, name, width, height, least):
    path = experiment(
        name, out=tmp_path, blocks=1, trials=2, explicit=2, memory=0, questionnaire=False
    )
    page = visit(path, "?subject=1", viewport={"width": width, "height": height})
    person = Participant(page, even)
    person.finish(until=lambda: bool(page.query_selector(".stage .scheme")))
    person.string()
    heights = page.evaluate("""() => [...document.querySelectorAll(".scheme [id^=text_]")].map(
        (text) => Math.max(...[...text.querySelectorAll("use")].map(
            (letter) => letter.getBoundingClientRect().height)))""")
    if name == "B":  # the letters of its arcs, and no names of states
        arcs = grammar("B").diagram.arcs.items()
        assert len(heights) == len({(state, end) for state, found in arcs for _, end in found})
    assert len(heights) > 5 and min(heights) >= least
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate("document.documentElement.scrollHeight") == height  # all is in view


@browsers
def test_keys_count_by_their_place_and_by_their_letter(demo, visit):
    """F and J of a Greek or Cyrillic layout, and of one that has them elsewhere (Dvorak)."""
    page = visit(demo("A"), "?subject=1")  # odd: left is correct
    person = Participant(page, even)
    person.finish(until=lambda: bool(page.query_selector(".stage")))
    pressed = [("KeyF", "φ", 1), ("KeyJ", "ο", 0), ("KeyJ", "О", 0), ("KeyY", "F", 1),
               ("KeyC", "j", 0), ("ArrowLeft", "ArrowLeft", 1), ("", "j", 0)]  # fmt: skip
    for code, key, _ in pressed:
        person.string()
        page.evaluate("""([code, key]) => document.dispatchEvent(
            new KeyboardEvent("keydown", { code, key, bubbles: true, cancelable: true }))""",
            [code, key])  # fmt: skip
        page.wait_for_selector(".stage:is(.right, .wrong)")
        person.go_on()
    state = page.evaluate("JSON.parse(localStorage.getItem(`${storeName(config)} 1 1`))")
    rows = [row for row in state["rows"] if "key" in row]
    assert [(row["key"], row["response"]) for row in rows] == [
        (key.lower(), response) for _, key, response in pressed
    ]


@browsers
def test_where_storage_fails_a_file_comes_after_each_block(tmp_path, visit):
    page = visit(
        experiment("A", out=tmp_path, **BRIEF), "?subject=3",
        init="Storage.prototype.setItem = () => { throw new DOMException('full') }",
    )  # fmt: skip
    files = []
    page.on("download", lambda download: files.append(download))
    person = Participant(page, even)
    person.finish(until=lambda: person.title == "A pause")
    assert "cannot keep your answers" in page.inner_text("main")
    person.finish()
    page.wait_for_timeout(100)
    counts = []
    for number, download in enumerate(files):
        download.save_as(tmp_path / f"{number}.json")
        counts.append(len(json.loads((tmp_path / f"{number}.json").read_text())))
    assert counts == [2, 4, 11, 13, 15]  # both blocks, questions, scheme, memory


@browsers
def test_the_last_answer_counts_and_feedback_can_be_left_out(tmp_path, visit):
    short = {"blocks": 1, "trials": 2, "explicit": 0, "memory": 0, "questionnaire": False}
    page = visit(experiment("A", out=tmp_path / "one", **short))
    person = Participant(page, even)
    page.fill("[name=subject]", "4")
    person.finish(until=lambda: bool(page.query_selector(".stage")))
    person.answer()
    person.go_on()
    person.answer()
    page.reload()
    person.fill()  # welcome back
    assert person.title == "Thank you"
    rows = json.loads(person.file("json", tmp_path).read_text())
    assert [(row["item"], row["response"]) for row in rows] == person.pressed

    page = visit(experiment("A", out=tmp_path / "two", feedback_ms=0, **short), "?subject=4")
    person = Participant(page, even)
    for key in ("f", "j"):
        person.finish(until=lambda: bool(page.query_selector(".stage")))
        person.string()
        page.keyboard.press(key)
    page.wait_for_selector("text=Thank you")
    rows = json.loads(person.file("json", tmp_path).read_text())
    assert [row["feedback"] for row in rows] == [False, False]
    assert [row["response"] for row in rows] == [0, 1]  # even number: correct is on the right


@browsers
def test_two_people_at_one_computer(demo, visit):
    page = visit(demo("A"))
    person = Participant(page, even)
    page.fill("[name=subject]", "P1")
    person.finish(until=lambda: len(person.pressed) == 2)
    page.reload()
    page.click("text=I am someone else")
    page.fill("[name=subject]", "P2")
    person.fill()
    assert person.title == "Welcome"
    page.reload()
    assert "Participant P2" in page.inner_text("main")
    page.click("text=I am someone else")
    page.fill("[name=subject]", "P1")
    person.fill()
    assert "Participant P1" in page.inner_text("main")
    person.fill()
    third = person.string()
    assert third == page.evaluate("makePlan(config, 'P1', '1').steps[4].trial")


@browsers
def test_keys_held_or_pressed_too_early_answer_nothing(demo, visit):
    page = visit(demo("A"), "?subject=1")
    person = Participant(page, even)
    person.finish(until=lambda: bool(page.query_selector(".stage")))
    page.keyboard.down("j")  # during fixation, and it repeats
    person_string = person.string()
    page.keyboard.down("j")
    page.keyboard.press("k")
    page.keyboard.press("Control+f")
    page.clock.fast_forward(60_000)  # there is no time limit
    assert page.inner_text(".string") == person_string
    assert page.is_enabled(".answers button")
    assert not page.query_selector(".stage:is(.right, .wrong)")
    page.keyboard.up("j")
    page.keyboard.press("j")
    page.wait_for_selector(".stage:is(.right, .wrong)")
    assert re.match("[✓✗] (Right|Wrong) answer", page.inner_text(".verdict"))


@browsers
def test_policy_stops_requests(demo, chromium):
    page = chromium.new_page()
    page.goto(demo("A").as_uri())
    blocked = page.evaluate("""() => new Promise((resolve) => {
        document.addEventListener("securitypolicyviolation", (e) => resolve(e.blockedURI));
        new Image().src = "https://example.org/pixel.png";
    })""")
    assert blocked == "https://example.org/pixel.png"
    page.close()


@browsers
def test_a_grammar_of_ones_own_with_awkward_letters(tmp_path, visit):
    own = automaton({0: {"<": 0, "&": 1}, 1: {'"': 0}}, start=0, accept=[1], lengths=[2, 3, 4])
    page = visit(experiment(own, out=tmp_path, **BRIEF), "?subject=1")
    person = Participant(page, even)
    person.finish()
    rows = json.loads(person.file("json", tmp_path).read_text())
    assert {letter for row in rows for letter in row["item"]} <= {"<", "&", '"'}
    assert [row["answer"] for row in rows if row["phase"] == "questionnaire"] == [["<"]] * 7
