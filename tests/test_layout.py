"""What is shipped, how the folders hang together, and which imports are allowed."""

import ast
import os
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path
from shutil import copy, copytree, ignore_patterns

import pytest

import neurodyn

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
FOLDERS = {"neurodyn": "neurodyn", "models": "neurodyn.models", "analysis": "neurodyn.analysis"}
TOP = ("neurodyn.cli", "neurodyn.__main__", "neurodyn.studies")
PLAIN = {
    *sys.stdlib_module_names, "numpy", "scipy", "xarray", "matplotlib", "jaxtyping", "PIL",
    "statsmodels",  # the extra "behaviour", imported where it is used
}  # fmt: skip

# Every module by its import name, found without following the links.
MODULES = {
    ".".join((package, *path.relative_to(ROOT / folder).with_suffix("").parts)): path
    for folder, package in FOLDERS.items()
    for here, _, names in os.walk(ROOT / folder)
    for path in (Path(here, name) for name in names)
    if path.suffix == ".py"
}


def within(name, *packages):
    return any(f"{name}.".startswith(f"{package}.") for package in packages)


def allowed(module, imported):
    """The arrows: core and stimuli <- models; analysis alone; studies and cli above all."""
    if within(module, "neurodyn.analysis"):
        return imported.split(".")[0] in PLAIN or within(imported, "neurodyn.analysis")
    if within(module, "neurodyn.models"):
        return not within(imported, "neurodyn.analysis", *TOP)
    return within(module, *TOP) or not within(
        imported, "neurodyn.models", "neurodyn.analysis", *TOP
    )


def test_every_package_is_shipped():
    folders = {name.removesuffix(".__init__") for name in MODULES if name.endswith(".__init__")}
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == folders


def test_one_version():
    assert PROJECT["project"]["version"] == neurodyn.__version__
    assert f"\nversion: {neurodyn.__version__}\n" in (ROOT / "CITATION.cff").read_text()


@pytest.mark.parametrize("name", ["models", "analysis"])
def test_links(name):
    link = ROOT / "neurodyn" / name
    reason = "a second copy hides edits, so copy trees with their links (cp -a)"
    assert link.is_symlink(), f"neurodyn/{name} must be a link to ../{name}: {reason}"
    assert os.readlink(link) == f"../{name}"


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_follow_the_arrows(module):
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute here"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        wrong = [name for name in names if not allowed(module, name)]
        assert not wrong, f"{module}, line {node.lineno}, may not import {', '.join(wrong)}"


def test_sdist_and_wheel_hold_the_three_folders_and_nothing_else(tmp_path):
    pytest.importorskip("setuptools", reason="builds without fetching anything")
    tree, unpacked = tmp_path / "tree", tmp_path / f"neurodyn-{neurodyn.__version__}"
    for folder in FOLDERS:
        copytree(ROOT / folder, tree / folder, True, ignore_patterns("__pycache__", ".*"))
    expected = set()
    for folder, package in FOLDERS.items():
        for here, _, names in os.walk(tree / folder):
            place = Path(*package.split(".")) / Path(here).relative_to(tree / folder)
            expected.update(str(place / name) for name in names)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        copy(ROOT / name, tree)
    for kind, where in (("sdist", tree), ("wheel", unpacked)):
        code = f"from setuptools import build_meta; build_meta.build_{kind}('..')"
        subprocess.run([sys.executable, "-c", code], cwd=where, check=True, capture_output=True)
        if kind == "sdist":
            with tarfile.open(f"{unpacked}.tar.gz") as archive:
                archive.extractall(tmp_path, filter="data")
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        assert {name for name in wheel.namelist() if ".dist-info/" not in name} == expected
