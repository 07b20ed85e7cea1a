"""Artificial grammar learning in the browser: one page that needs no network."""

import base64
import hashlib
import io
import json
import re
from html import escape
from importlib.resources import files
from numbers import Integral
from pathlib import Path
from typing import Any, Literal

import matplotlib

import neurodyn
from neurodyn.experiment.questions import error_questions, letter_questions
from neurodyn.stimuli.abstract_grammar import Grammar
from neurodyn.stimuli.automaton_drawing import automaton_drawing
from neurodyn.stimuli.grammar import grammar as grammar_named
from neurodyn.stimuli.grammar_items import stimulus_set
from neurodyn.stimuli.pairings import PairGrammar
from neurodyn.stimuli.regular import RegularGrammar

LENGTHS = {"blocks": 8, "trials": 60, "explicit": 20, "memory": 20}
DEMO = {"blocks": 2, "trials": 8, "explicit": 4, "memory": 4}
SPLITS = {"implicit": "train", "explicit": "validation", "memory": "test"}
SCRIPTS = ("plan", "trial", "screen", "screens", "session", "main")
READING = {  # how to read the scheme
    RegularGrammar: "A correct string starts at the arrow, goes from circle to circle taking the "
    "letter on each arc, and stops in a circle with a double ring.",
    PairGrammar: "In a correct string, letters joined by an arc are partners. The pairs are listed "
    "below the arcs.",
}


def experiment(
    grammar: str | Grammar = "A",
    *,
    out: str | Path,
    demo: bool = False,
    blocks: int = 8,
    trials: int = 60,
    explicit: int = 20,
    memory: int = 20,
    feedback_ms: int = 2000,
    fixation_ms: int = 500,
    questionnaire: bool = True,
    overlap: Literal["allowed", "disjoint"] = "allowed",
    seed: int = 0,
) -> Path:
    """Write the experiment with people as one page for the browser, to be used offline.

    Instructions; implicit blocks of strings with feedback after each; a questionnaire; a block with
    the scheme of the grammar in view; a block from memory. Participants are told that there are
    correct and wrong strings, not that there is a rule. They answer with keys, touch or mouse, and
    take home a file (JSON or CSV) with a row for each trial and question, times in milliseconds.

    All participants of one page see the same strings: those of
    ``stimulus_set(grammar, train=blocks * trials, validation=explicit, test=memory, seed=seed)``,
    each block half correct and half wrong. The order, and which strings share a block, follow from
    the seed and the participant; the side that means "correct" is left where the participant's
    number is odd, right where it is even. Answers are kept in the browser after each trial, so that
    a reload goes on at the same one; where that is not possible a file is downloaded after each
    block. The address may name the participant: ``index.html?subject=12&session=1``.

    Parameters
    ----------
    grammar : str or Grammar
        A name of `neurodyn.stimuli.grammar.grammar_names`, or a grammar of your own.
    out : path
        A folder, made where it is missing. An index.html that this function did not write is left
        alone.
    demo : bool
        2 blocks of 8, then 4 and 4: to try it out. It sets the four lengths itself.
    blocks : int
        Implicit blocks.
    trials : int
        Trials in each of them, an even number.
    explicit : int
        Trials with the scheme in view, an even number; 0 leaves the block out.
    memory : int
        Trials from memory after that, an even number; 0 leaves the block out.
    feedback_ms : int
        How long the coloured string is shown after an answer; 0 gives no feedback.
    fixation_ms : int
        How long the cross is shown before a string.
    questionnaire : bool
        Ask about letters (grammars with an automaton) or for the error in wrong strings (others).
    overlap : {"allowed", "disjoint"}
        Whether the later blocks may repeat strings of the implicit ones, see `stimulus_set`.
    seed : int
        Of the strings and their order.

    Returns
    -------
    Path
        The page, ``out/index.html``.

    Raises
    ------
    ValueError
        If a length is odd or out of range, or the grammar has too few strings.

    Notes
    -----
    Fixation, free response time, feedback, blocks and questionnaire are the paper's. Reconstructed,
    because it does not say: feedback in the last two blocks too, the same strings for everyone,
    30 of 60 correct in each block, the two keys, the questions' wording.

    References
    ----------
    Alamia, Gauducheau, Paisios & VanRullen (2020), Comparing feedforward and recurrent neural
    network architectures with human behavior in artificial grammar learning, Sci. Rep. 10, 22172.
    de Leeuw, Gilbert & Luchterhandt (2023), jsPsych, J. Open Source Softw. 8(85), 5351.

    Examples
    --------
    >>> import tempfile
    >>> page = experiment("A", out=tempfile.mkdtemp(), demo=True)
    >>> page.name
    'index.html'
    """
    lengths = {"blocks": blocks, "trials": trials, "explicit": explicit, "memory": memory}
    if demo:
        if lengths != LENGTHS:
            raise ValueError(f"demo sets {', '.join(LENGTHS)} itself: leave out either of the two")
        lengths = DEMO
    checked(lengths, feedback_ms, fixation_ms, seed)
    target = checked_target(Path(out))
    rule = grammar_named(grammar) if isinstance(grammar, str) else grammar
    if not isinstance(rule, Grammar):
        raise TypeError(f"grammar must be a name or a Grammar, got {type(grammar).__name__}")
    items = stimuli(rule, lengths, overlap, seed)
    config = {
        "grammar": rule.name,
        "alphabet": list(rule.alphabet),
        "unit": "syllable" if rule.separator else "letter",
        "blocks": lengths["blocks"],
        "trials": lengths["trials"],
        "feedback_ms": int(feedback_ms),
        "fixation_ms": int(fixation_ms),
        "seed": int(seed),
        "version": neurodyn.__version__,
        "items": items,
        "questions": questions(rule, items, int(seed)) if questionnaire else [],
        "scheme": scheme(rule) if lengths["explicit"] else "",
        "reading": READING.get(type(rule), ""),
    }
    text = json.dumps(config, sort_keys=True)
    config["page"] = hashlib.sha256(text.encode()).hexdigest()[:12]
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(html(config), encoding="utf-8", newline="\n")
    return target


def checked(lengths: dict[str, int], feedback_ms: int, fixation_ms: int, seed: int) -> None:
    """Refuse numbers that make no experiment."""
    times = {"feedback_ms": feedback_ms, "fixation_ms": fixation_ms, "seed": seed}
    for name, value in {**lengths, **times}.items():
        least = {"blocks": 1, "trials": 2}.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
            raise ValueError(f"{name} must be a whole number from {least} up, got {value!r}")
    for name in ("trials", "explicit", "memory"):
        if lengths[name] % 2:
            raise ValueError(
                f"{name} must be even, because half of the strings are wrong, got {lengths[name]}"
            )


def checked_target(out: Path) -> Path:
    """Return the page's path, unless something else is there."""
    if out.exists() and not out.is_dir():
        raise ValueError(f"out must be a folder, and {str(out)!r} is a file: give another")
    target = out / "index.html"
    if target.exists() and "neurodyn agl experiment" not in target.read_text("utf-8", "replace"):
        raise ValueError(f"{str(target)!r} is another page: give another folder, or remove it")
    return target


def stimuli(
    grammar: Grammar, lengths: dict[str, int], overlap: Literal["allowed", "disjoint"], seed: int
) -> dict[str, list[dict[str, Any]]]:
    """Return the strings of each phase, half of them grammatical."""
    sizes = {
        "implicit": lengths["blocks"] * lengths["trials"],
        "explicit": lengths["explicit"],
        "memory": lengths["memory"],
    }
    asked = {SPLITS[phase]: size for phase, size in sizes.items()}
    found = stimulus_set(grammar, **asked, seed=seed, overlap=overlap)
    items = {}
    for phase, split in SPLITS.items():
        rows = found.isel(item=(found.split == split).values)
        pairs = zip(rows.string.values, rows.grammatical.values, strict=True)
        items[phase] = [{"string": str(s), "grammatical": bool(g)} for s, g in pairs]
    return items


def questions(
    grammar: Grammar, items: dict[str, list[dict[str, Any]]], seed: int
) -> list[dict[str, Any]]:
    """Return the questionnaire that fits the grammar."""
    if isinstance(grammar, RegularGrammar):
        return letter_questions(grammar)
    shown = {item["string"] for phase in items.values() for item in phase}
    return error_questions(grammar, shown, seed)


def scheme(grammar: Grammar) -> str:
    """Return the drawing of the grammar as an SVG element, the same bytes every time.

    Automata are drawn without names of states, so that their letters can be read on a phone.
    """
    if isinstance(grammar, RegularGrammar):
        figure = automaton_drawing(grammar.diagram, names=False)
    else:
        figure = grammar.draw()
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "neurodyn", "svg.fonttype": "path"}):
        figure.savefig(
            buffer, format="svg", bbox_inches="tight", pad_inches=0.03, transparent=True,
            metadata={"Date": None},
        )  # fmt: skip
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :].strip()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    label = f"Scheme of grammar {grammar.name}"
    return svg.replace("<svg", f'<svg role="img" aria-label="{escape(label, quote=True)}"', 1)


def html(config: dict[str, Any]) -> str:
    """Return the page: styles, libraries, configuration and scripts in one text."""
    here = files("neurodyn.experiment")

    def read(name: str) -> str:
        return here.joinpath(name).read_text(encoding="utf-8")

    library = read("vendor/jspsych-8.3.0.min.js")
    library = re.sub(r"\n//# sourceMappingURL=.*", "", library)  # it would be fetched by debuggers
    script = "\n".join(["", '"use strict";', *(read(f"{name}.js") for name in SCRIPTS)])
    hashes = " ".join(f"'sha256-{digest(text)}'" for text in (library, script))
    parts = {
        "policy": f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; "
        "img-src data:; base-uri 'none'; form-action 'none'",
        "style": read("vendor/jspsych.css") + read("page.css"),
        "licences": read("vendor/LICENSES.txt"),
        "config": json.dumps(config).replace("<", "\\u003c"),
        "jspsych": library,
        "script": script,
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], read("page.html"))


def digest(text: str) -> str:
    """Return the hash by which a Content-Security-Policy knows a script."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
