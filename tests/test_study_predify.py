"""The first study: what it computes, how it resumes, what it writes."""

import json
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

import neurodyn as nd
from neurodyn.cells import cell, in_parallel, weights_hash
from neurodyn.models import pc_shallow
from neurodyn.studies import predify as study

TINY: dict[str, Any] = {
    "images": 8,
    "seeds": 2,
    "gaussian": (0.4,),
    "salt_pepper": (),
    "duration": 2,
}
CELLS = 9  # clean once and two seeds of noise, for each of three solvers


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, xr.Dataset]:
    folder = tmp_path_factory.mktemp("predify")
    threads = torch.get_num_threads()
    torch.set_num_threads(2)  # two cells at a time
    try:
        return folder, study.predify(out=folder, **TINY)
    finally:
        torch.set_num_threads(threads)


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note which cells are computed."""
    seen: list[str] = []
    real = study.answered

    def counted(solver: Any, noise: Any, images: int, seed: int) -> xr.Dataset:
        seen.append(f"{noise.label}, {seed}, {solver.label}")
        return real(solver, noise, images, seed)

    monkeypatch.setattr(study, "answered", counted)
    return seen


def test_record_is_labelled_and_says_where_it_comes_from(tiny: tuple[Path, xr.Dataset]) -> None:
    folder, result = tiny
    assert result.correct.dims == ("noise", "solver", "seed", "sample", "time")
    assert result.correct.shape == (2, 3, 2, 8, 3) and result.correct.dtype == bool
    assert result.noise.values.tolist() == ["clean", "gaussian 0.4"]
    assert result.solver.values.tolist() == ["feedforward", "predify", "ode"]
    assert result.accuracy_ci.dims == ("noise", "solver", "time", "ci_bound")
    for name, variable in result.variables.items():
        assert {"long_name", "units"} <= set(variable.attrs), name
    config = json.loads(result.attrs["config"])
    assert config["images"] == 8 and config["gaussian"] == [0.4]
    assert {"neurodyn_version", "seed", "solver", "rtol", "atol", "nfe"} <= set(result.attrs)
    nfe = json.loads(result.attrs["nfe"])
    assert nfe["feedforward"] == 0 and nfe["predify"] == 2 * 3 and nfe["ode"] > 6
    xr.testing.assert_identical(nd.load(folder / "predify.nc"), result)


def test_answers_are_those_of_the_model(tiny: tuple[Path, xr.Dataset]) -> None:
    _, result = tiny
    images, labels = nd.stimuli.digits("test", 8, 0.4, "gaussian", seed=1)
    assert result.label.values.tolist() == labels.tolist()
    here = result.correct.sel(noise="gaussian 0.4", seed=1)
    for solver, update, how in (
        ("predify", "sequential", {"method": "euler"}),
        ("ode", "simultaneous", {"method": "bosh3", "rtol": 1e-2, "atol": 1e-3}),
    ):
        model = pc_shallow(pretrained=True, update=update)  # type: ignore[arg-type]
        run = nd.simulate(model, images, [0.0, 1.0, 2.0], record="readout", **how)  # type: ignore[arg-type]
        right = run["logits"].argmax("category") == xr.DataArray(labels.numpy(), dims="sample")
        assert np.array_equal(here.sel(solver=solver).values, right.transpose().values)
    plain = (pc_shallow(pretrained=True).backbone(images).argmax(1) == labels).numpy()
    assert np.array_equal(here.sel(solver="feedforward").values, np.tile(plain[:, None], 3))
    start = result.correct.isel(time=0)
    assert (start == start.sel(solver="feedforward")).all()
    clean = result.correct.sel(noise="clean")
    assert (clean == clean.isel(seed=0)).all()


def test_files_for_people(tiny: tuple[Path, xr.Dataset], capsys: pytest.CaptureFixture) -> None:
    folder, result = tiny
    svg = (folder / "figure.svg").read_text(encoding="utf-8")
    assert "time (published steps)" in svg and "Gaussian, σ = 0.4" in svg
    assert (folder / "figure.png").read_bytes()[1:4] == b"PNG"
    page = " ".join((folder / "summary.md").read_text(encoding="utf-8").split())
    assert "The first 8 of the 2,000 test digits" in page and "2 draws of the noise" in page
    assert "| gaussian 0.4 | ode |" in page
    study.write(result, folder)
    printed = capsys.readouterr().out
    assert printed.startswith("noise ") and "predify at t=2 does not differ reliably" in printed
    assert (folder / "figure.svg").read_text(encoding="utf-8") == svg


def test_second_run_computes_only_what_is_missing_damaged_or_of_another_configuration(
    tiny: tuple[Path, xr.Dataset], computed: list[str]
) -> None:
    folder, result = tiny
    files = sorted((folder / "cells").iterdir())
    assert len(files) == CELLS
    xr.testing.assert_identical(study.predify(out=folder, **TINY), result)
    assert computed == []

    (folder / "cells" / "clean_ode.nc").unlink()
    damaged = folder / "cells" / "gaussian_0.4_1_predify.nc"
    damaged.write_bytes(damaged.read_bytes()[:1500])
    (folder / "cells" / "clean_predify.nc").write_bytes(b"not a netCDF file")
    xr.testing.assert_identical(study.predify(out=folder, **TINY), result)
    assert sorted(computed) == ["clean, 0, ode", "clean, 0, predify", "gaussian 0.4, 1, predify"]

    computed.clear()
    study.predify(out=folder, **TINY, rtol=1e-3)
    assert sorted(computed) == ["clean, 0, ode", "gaussian 0.4, 0, ode", "gaussian 0.4, 1, ode"]
    computed.clear()
    study.predify(out=folder, **TINY, feedback=0.2)
    assert len(computed) == 6 and not any("feedforward" in name for name in computed)
    assert sorted((folder / "cells").iterdir()) == files  # nothing temporary stays


def test_interrupted_run_goes_on(
    tiny: tuple[Path, xr.Dataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, seen = study.answered, []

    def interrupted(*cell: Any) -> xr.Dataset:
        seen.append(cell)
        if len(seen) == 5:
            raise KeyboardInterrupt
        return real(*cell)

    monkeypatch.setattr(study, "answered", interrupted)
    threads = torch.get_num_threads()
    with pytest.raises(KeyboardInterrupt):
        study.predify(out=tmp_path, **TINY)
    assert torch.get_num_threads() == threads
    done = len(list((tmp_path / "cells").iterdir()))
    assert 4 <= done <= 5 and not (tmp_path / "predify.nc").exists()
    seen[:] = [None] * 5
    result = study.predify(out=tmp_path, **TINY)
    assert len(seen) - 5 == CELLS - done
    xr.testing.assert_identical(result, tiny[1])


@pytest.mark.parametrize("precision", ["64-true", "bf16-mixed"])
def test_other_precisions(tmp_path: Path, precision: Any) -> None:
    config = TINY | {"images": 2, "seeds": 1, "duration": 1}
    result = study.predify(out=tmp_path, **config, precision=precision)
    assert result.accuracy.notnull().all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": 2001}, "images must be a whole number from 1 to 2000, not 2001"),
        ({"seeds": 0}, "seeds must be a whole number from 1"),
        ({"duration": 2.5}, "duration must be a whole number"),
        ({"seed": -1}, "seed must be a whole number from 0 up"),
        ({"gaussian": (0.2, 0.2)}, "gaussian must be different numbers above 0, not"),
        ({"salt_pepper": (1.2,)}, "salt_pepper must be different numbers above 0 up to 1"),
        ({"method": "euler"}, "method must be one of dopri8, dopri5, bosh3"),
        ({"precision": "16"}, "precision must be one of 32-true, 64-true, bf16-mixed, not '16'"),
        ({"device": "abacus"}, "device 'abacus' cannot be used here"),
        ({"feedforward": 0.8}, "must not sum to more than 1"),
    ],
)
def test_errors_say_what_is_allowed(tmp_path: Path, change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        study.predify(out=tmp_path, **TINY | change)
    assert not list(tmp_path.iterdir())


def test_cell_needs_the_same_configuration_to_be_found_again(tmp_path: Path) -> None:
    made = []

    def compute(value: float) -> xr.Dataset:
        made.append(value)
        return xr.Dataset({"x": value})

    path = tmp_path / "cell.nc"
    for value, config in ((1.0, {"a": 1, "b": 2}), (2.0, {"b": 2, "a": 1}), (3.0, {"a": 1})):
        data = cell(path, config, partial(compute, value))
    assert made == [1.0, 3.0] and data.x == 3.0


def test_jobs_in_parallel_stop_at_the_first_error() -> None:
    begun = []

    def job(i: int) -> int:
        begun.append(i)
        if i == 2:
            raise RuntimeError("job 2")
        time.sleep(0.01)
        return i

    threads = torch.get_num_threads()
    with pytest.raises(RuntimeError, match="job 2"):
        in_parallel([partial(job, i) for i in range(1000)], workers=2)
    assert len(begun) < 1000 and torch.get_num_threads() == threads
    assert in_parallel([partial(job, i) for i in range(3, 9)], workers=2) == list(range(3, 9))


def test_weights_hash_is_that_of_the_weights() -> None:
    assert weights_hash(pc_shallow(seed=1)) == weights_hash(pc_shallow(seed=1, feedback=0.1))
    assert weights_hash(pc_shallow(seed=1)) != weights_hash(pc_shallow(seed=2))
