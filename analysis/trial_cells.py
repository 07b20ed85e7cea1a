"""One cell of a table of trials: a number, a yes or no, a text, or nothing."""

import json
import math
import re
from collections import Counter
from collections.abc import Collection, Iterable
from html import unescape
from typing import Any

MISSING = ("", "n/a", "N/A", "NA", "null", "None", "NaN", "nan")
"""Texts that stand for nothing, whatever spaces are around them."""
YES = ("1", "1.0", "true", "yes", "grammatical", "correct")
NO = ("0", "0.0", "false", "no", "ungrammatical", "incorrect", "wrong")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
TAG = re.compile(r"</?([a-zA-Z][a-zA-Z0-9]*)\b[^<>]*>|<![^<>]*>")
BLOCKS = {"p", "div", "br", "li", "ul", "ol", "td", "tr", "table", "h1", "h2", "h3", "h4"}
UNWRITABLE = re.compile("[\0\ud800-\udfff]")


class Refused(ValueError):
    """A cell that does not hold what its column may hold; the message says what is allowed."""


def is_missing(value: Any, missing: Collection[str] = MISSING) -> bool:
    """Return whether a cell holds nothing: None, NaN, NA, blanks, or a text that stands for it.

    Examples
    --------
    >>> [is_missing(value) for value in (None, " n/a ", float("nan"), 0, "0", False)]
    [True, True, True, False, False, False]
    """
    if isinstance(value, str):
        return not value.strip() or value.strip() in missing
    if type(value).__name__ in ("NAType", "NaTType"):  # of pandas
        return True
    return value is None or (isinstance(value, float) and math.isnan(value))


def check_missing(missing: Any) -> None:
    """Refuse what is no list of texts that stand for nothing: of "NA", N and A would be two."""
    listed = isinstance(missing, Collection) and not isinstance(missing, str | bytes)
    if not listed or not all(isinstance(one, str) for one in missing):
        raise TypeError(
            f'missing must be a list of texts that stand for nothing, e.g. ["NA"]; got {missing!r}'
        )


def note_codes(items: Iterable[Any], missing: Collection[str], notes: dict[str, Any]) -> None:
    """Note how often each text that stands for nothing is there as an item; blanks do not count.

    Examples
    --------
    >>> notes = {}
    >>> note_codes(["NA", " NA", "", None, "XV"], MISSING, notes)
    >>> notes
    {'items read as missing': {'NA': 2}}
    """
    texts = (item.strip() for item in items if isinstance(item, str))
    codes = Counter(text for text in texts if text in missing and text)
    if codes:
        before: Counter[str] = Counter(notes.get("items read as missing"))
        notes["items read as missing"] = dict(before + codes)


def number(value: Any) -> float:
    """Return a finite number, from a number or its plain decimal spelling.

    Examples
    --------
    >>> number(" 1.5e2 ")
    150.0
    """
    if isinstance(value, str) and NUMBER.fullmatch(value.strip()):
        value = float(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            value = float(value)
        except OverflowError:
            value = math.inf
        if math.isfinite(value):
            return value
    raise Refused("a finite number with a decimal point")


def truth(value: Any) -> float:
    """Return 1.0 or 0.0 from a yes or no in one of its spellings, in either case.

    Single letters are no spelling: they may be keys.

    Examples
    --------
    >>> [truth(value) for value in (True, 0, "TRUE", "no", "ungrammatical")]
    [1.0, 0.0, 1.0, 0.0, 0.0]
    """
    if isinstance(value, bool) or (isinstance(value, int | float) and value in (0, 1)):
        return float(value)
    word = value.strip().lower() if isinstance(value, str) else None
    if word in YES or word in NO:
        return float(word in YES)
    raise Refused(
        "1 or 0, true or false, yes or no, grammatical or ungrammatical, correct or wrong"
    )


def text(value: Any) -> str:
    """Return the text of a text, a number (1.0 becomes 1) or a truth value.

    Examples
    --------
    >>> text(3.0), text(True), text(" 07 ")
    ('3', 'true', '07')
    """
    if isinstance(value, bool):
        value = str(value).lower()
    elif isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = str(int(value))
    elif isinstance(value, int | float):
        value = repr(number(value)) if abs(value) >= 2**53 else str(value)
    if not isinstance(value, str):
        raise Refused("a text or a number")
    return checked(value).strip()


def raw(value: Any) -> str:
    """Return what a cell holds as text, unchanged; JSON for what is no text.

    Examples
    --------
    >>> raw(" a"), raw({"Q0": ["X", "V"]})
    (' a', '{"Q0": ["X", "V"]}')
    """
    if isinstance(value, str):
        return checked(value)
    try:
        return checked(json.dumps(value, ensure_ascii=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise Refused("a text, or something that JSON can hold") from error


def checked(value: str) -> str:
    """Refuse characters that no file can hold: NUL and halves of pairs."""
    if UNWRITABLE.search(value):
        raise Refused("text without NUL characters and unpaired surrogates")
    return value


def without_html(value: str) -> str:
    """Return the text that a browser shows, in one line.

    Examples
    --------
    >>> without_html('<p style="color:green"><b>X</b>VJ</p>')
    'XVJ'
    >>> without_html("tu&nbsp;pi<br>ro")
    'tu pi ro'
    """
    if "<" in value or "&" in value:
        value = TAG.sub(lambda tag: " " if (tag[1] or "").lower() in BLOCKS else "", value)
        value = unescape(value)
    return " ".join(value.split())
