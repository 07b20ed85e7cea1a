"""Every Python block of the README and of the pages runs, page by page, from top to bottom."""

from pathlib import Path

import pytest
from sybil import Sybil
from sybil.parsers.myst import PythonCodeBlockParser, SkipParser

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_code_blocks_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # for what they save
    for example in Sybil([PythonCodeBlockParser(), SkipParser()]).parse(page).examples():
        example.evaluate()


def test_pages_are_found():
    assert {"index.md", "concepts.md", "predictive_coding.md"} <= {page.name for page in PAGES}
