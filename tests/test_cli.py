"""The command, as people and scripts call it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import neurodyn as nd
from neurodyn import cli

TINY = ["--images", "4", "--seeds", "1", "--gaussian", "0.4", "--duration", "1"]


def neurodyn(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "neurodyn", *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_list_in_a_process_of_its_own() -> None:
    result = neurodyn("list")
    assert result.returncode == 0
    lines = result.stdout.splitlines()
    names = ["agl", "feedback", "gaspnet", "gattanet", "komplexnet", "predify"]
    names += ["predify-robustness", "same-different", "svrt"]
    assert [line.split()[0] for line in lines] == names
    assert lines[-4].startswith("predify             Accuracy on noisy digits over time")


def test_run_in_a_process_of_its_own(tmp_path: Path) -> None:
    out = tmp_path / "results" / "predify"
    result = neurodyn("run", "predify", *TINY, "--salt-pepper", "0.2", "0.3", "--out", str(out))
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[0].split()[:2] == ["noise", "solver"]
    assert {f.name for f in out.iterdir()} == {
        "cells",
        "predify.nc",
        "figure.png",
        "figure.svg",
        "summary.md",
    }
    data = nd.load(out / "predify.nc")
    assert data.noise.values.tolist() == [
        "clean",
        "gaussian 0.4",
        "salt_pepper 0.2",
        "salt_pepper 0.3",
    ]


def test_the_experiment_says_where_it_is(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    command = ["agl", "experiment", "--grammar", "A", "--demo", "--out", str(tmp_path)]
    assert cli.main(command) == 0
    assert Path(capsys.readouterr().out.strip()) == tmp_path / "index.html"
    assert "jsPsych" in (tmp_path / "index.html").read_text(encoding="utf-8")


@pytest.mark.skipif(os.name == "nt", reason="signals differ there")
def test_control_c_says_how_to_go_on(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "neurodyn", "run", "predify", "--images", "20"]
    process = subprocess.Popen(
        [*command, "--out", str(tmp_path)], stderr=subprocess.PIPE, text=True,
        # a test run in the background ignores the signal, and so would its children
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("cells/*.nc")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.splitlines()[-1] == (
        "neurodyn: interrupted; the same command goes on where this one stopped"
    )
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rum", "predify"], 'Unknown command "rum". Did you mean "run"?'),
        (["run", "predfy"], 'Unknown command "predfy". Did you mean "predify"?'),
        (["run", "predify", "--imags", "3"], "Unknown option: --imags. Did you mean --images?"),
        (["run", "predify", "--images", "few"], 'unable to convert "few" into int'),
        (["run", "predify", "--images", "0"], "images must be a whole number from 1 to 2000"),
        (["run", "predify", "--precision", "8"], '"32-true", "64-true", "bf16-mixed"'),
        (["run", "predify", "--device", "abacus"], "device 'abacus' cannot be used here"),
        (["run", "predify", "--out", "file/below"], "file"),
        (["run", "agl", "--seeds", "1"], "seeds must be a whole number from 2 up"),
        (["run", "svrt", "--images", "500"], "images must be two or more that differ"),
        (["agl", "experiment", "--grammar", "Z", "--out", "here"], "grammar 'Z' is not one of A"),
        (["sweep", "agl", "--families", "transformer"], "family 'transformer' is not one of"),
        (["train", "decoders", "--images", "nowhere"], "there is no folder nowhere"),
        (["train", "decoders", "--images", ".", "--network", "vgg"], '"pvgg16", "pef'),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    assert (
        cli.main([*arguments, *(TINY if "predify" in arguments and "--out" in arguments else [])])
        == 2
    )
    output = capsys.readouterr()
    said = output.err.splitlines()
    assert output.out == ""
    assert message in said[-1] and said[-1].startswith("neurodyn: ")


def test_errors_that_are_not_refusals_keep_their_trace(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neurodyn.studies.predify.check", lambda **config: int("a fault elsewhere"))
    with pytest.raises(ValueError, match="a fault elsewhere"):
        cli.main(["run", "predify"])
    monkeypatch.setattr("neurodyn.studies.predify.check", None)  # a fault in neurodyn itself
    with pytest.raises(TypeError, match="not callable"):
        cli.main(["run", "predify"])

    class Unstable(nd.SolverError):
        def __init__(self) -> None:
            Exception.__init__(self, "layer1 is not finite\nat t = 3")

    def unstable(**config: Any) -> None:
        raise Unstable

    monkeypatch.setattr("neurodyn.studies.predify.check", unstable)
    assert cli.main(["run", "predify"]) == 2
    assert capsys.readouterr().err == "neurodyn: layer1 is not finite at t = 3\n"


def test_help_and_version_come_from_the_functions(capsys: pytest.CaptureFixture) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == nd.__version__
    for command in (["run", "predify"], ["train", "predify"], ["train", "decoders"]):
        assert cli.main([*command, "--help"]) == 0
        page = capsys.readouterr().out
        for option in ("--out", "--seed", "--precision"):
            assert option in page
    assert cli.main(["run", "predify", "--help"]) == 0
    page = " ".join(capsys.readouterr().out.split())
    assert "--device" in page and "How many of the 2,000 test digits" in page
