"""Runs as labelled data: what is in them, what they do not depend on, and files."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import neurodyn as nd

ROOT = Path(__file__).parent.parent


def rand(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, dtype=torch.float64, generator=generator)


def energy(t, state):
    return state[1].pow(2).mean((2, 3)) * t


class Random(nd.Dynamics):
    """dy/dt = s - y from a random start, with a fixed part."""

    variables = (nd.Variable("y", ("unit",)), nd.Variable("z", ("unit",)))

    def drive(self, stimulus):
        return {"input": stimulus}

    def initial_state(self, drive, generator=None):
        shape = drive["input"].shape
        y = torch.randn(shape, generator=generator, dtype=torch.float64)
        return y, drive["input"] * 2

    def forward(self, t, state, drive):
        return drive["input"] - state[0], -state[1]

    def readout(self, state, drive):
        return state[0]


# ---- what is in it


@pytest.mark.parametrize("method", ["euler", "dopri5", "scipy_solver"])
def test_the_record_is_the_solution_with_names(method, coupled):
    dynamics, x, times = coupled(), rand(5, 4), [0.0, 0.3, 1.0]
    run = nd.simulate(dynamics, x, times, method=method)
    solution = nd.integrate(dynamics, x, times, method=method, gradient="none")
    assert isinstance(run, xr.DataTree)
    assert list(run.children) == ["layers"] and list(run.layers.children) == ["v", "m"]
    assert run["logits"].dims == ("time", "sample", "category")
    assert run.layers["v"]["state"].dims == ("time", "sample", "unit")
    assert run.layers["m"]["state"].dims == ("time", "sample", "channel", "y", "x")
    assert np.array_equal(run["logits"], solution.readout)
    assert np.array_equal(run.layers["v"]["state"], solution.states[0])
    assert np.array_equal(run.layers["m"]["state"], solution.states[1])
    for node in (run, run.layers["v"], run.layers["m"]):
        assert node["time"].values.tolist() == times
        assert node["time"].attrs == {"long_name": "time (published steps)", "units": "1"}
        assert node["sample"].values.tolist() == [0, 1, 2, 3, 4]


def test_every_variable_says_what_it_is(coupled):
    class Labelled(coupled):
        variables = (
            nd.Variable("v", ("unit",), "mV", "potential", "voltage", "Lapicque (1907)"),
            nd.Variable("m", ("channel", "y", "x")),
        )
        readout_variable = nd.Variable("choice", ("option",), long_name="evidence")

    run = nd.simulate(Labelled(), rand(2, 4), [0, 1])
    assert run.layers["v"]["voltage"].attrs == {
        "long_name": "potential", "units": "mV", "references": "Lapicque (1907)",
    }  # fmt: skip
    assert run["choice"].dims == ("time", "sample", "option")
    assert run["choice"].attrs == {"long_name": "evidence", "units": "1"}
    for node in run.subtree:
        for variable in (*node.data_vars.values(), *node.coords.values()):
            assert {"long_name", "units"} <= set(variable.attrs)


def test_attributes_say_where_the_numbers_come_from(coupled):
    options = {"first_step": 0.1, "max_step": 0.5}
    run = nd.simulate(coupled(), rand(2, 4), [0, 1], rtol=1e-3, atol=1e-5, seed=7, options=options)
    stats = nd.integrate(coupled(), rand(2, 4), [0, 1], rtol=1e-3, atol=1e-5, options=options).stats
    for node in (run, run.layers["v"]):
        attrs = node.attrs
        assert attrs["neurodyn_version"] == nd.__version__
        assert attrs["torch_version"] == torch.__version__
        assert (attrs["solver"], attrs["rtol"], attrs["atol"]) == ("dopri5", 1e-3, 1e-5)
        assert attrs["seed"] == 7
        assert json.loads(attrs["config"]) == {"dynamics": "Coupled", "step": 0.125}
        assert json.loads(attrs["options"]) == options
        assert attrs["nfe"] == stats.evaluations
        assert (attrs["accepted_steps"], attrs["rejected_steps"]) == (
            stats.accepted, stats.rejected,
        )  # fmt: skip
        assert attrs["smallest_step"] == stats.smallest_step
        assert attrs["largest_step"] == stats.largest_step


def test_the_same_call_gives_the_same_attributes(coupled):
    """Also with a norm, whose address in memory is nobody's business."""
    norms = [eval("lambda state: state[0].abs().max()") for _ in range(2)]
    one, two = (
        nd.simulate(coupled(), rand(2, 4), [0, 1], options={"norm": norm}) for norm in norms
    )
    xr.testing.assert_identical(one, two)


def test_time_in_milliseconds(coupled):
    times = [0.0, 0.5, 2.0]
    steps = nd.simulate(coupled(), rand(2, 4), times)
    run = nd.simulate(coupled(), rand(2, 4), times, time_constant=12.5)
    for node in (run, run.layers["v"]):
        assert node["time"].values.tolist() == [0.0, 6.25, 25.0]
        about = {"long_name": "time", "units": "ms", "time_constant": 12.5}
        assert node["time"].attrs == about
    assert np.array_equal(run["logits"], steps["logits"])


def test_coordinates_of_the_users(coupled):
    run = nd.simulate(
        coupled(), rand(3, 4), [0, 1],
        coords={"label": ("sample", [7, 8, 9]), "noise": 0.5, "category": list("abcd")},
    )  # fmt: skip
    assert run["logits"]["label"].values.tolist() == [7, 8, 9]
    assert run["logits"].sel(category="b").noise == 0.5
    assert "label" not in run.layers["v"].to_dataset(inherit=False).coords


def test_there_is_no_graph_and_no_change_of_the_stimulus(coupled):
    dynamics, x = coupled(), rand(3, 4).requires_grad_()
    before = x.detach().clone()
    run = nd.simulate(dynamics, x, [0, 1])
    run["logits"].values[:] = 0
    run.layers["v"]["state"].values[:] = 0
    assert torch.equal(x, before) and dynamics.k.grad is None and torch.is_grad_enabled()


@pytest.mark.parametrize("method", ["euler", "dopri5"])
def test_only_what_is_named_is_kept(method, coupled):
    def run(record):
        return nd.simulate(coupled(), rand(3, 4), [0, 0.5, 1], method=method, record=record)

    full = run(None)
    only = run("readout")
    assert list(only.data_vars) == ["logits"] and not only.children
    assert np.array_equal(only["logits"], full["logits"])
    only = run(["m"])
    assert not only.data_vars and list(only.layers.children) == ["m"]
    assert np.array_equal(only.layers["m"]["state"], full.layers["m"]["state"])
    seen = run(["readout", energy])
    assert seen["energy"].dims == ("time", "sample", "energy_0")
    m = torch.as_tensor(full.layers["m"]["state"].values)
    expected = torch.stack([energy(t, (None, y)) for t, y in zip([0, 0.5, 1], m, strict=True)])
    np.testing.assert_allclose(seen["energy"], expected, rtol=1e-12)


@pytest.mark.parametrize("name", ["logits", "layers", "time", "sample"])
def test_a_function_cannot_take_a_name_of_the_tree(name, coupled):
    """Said at the door, not after the run; and nothing is overwritten in silence."""
    ran = []

    def function(t, state):
        ran.append(t)
        return state[0]

    function.__name__ = name
    with pytest.raises(ValueError, match=name):
        nd.simulate(coupled(), rand(3, 4), [0, 1], record=["readout", "m", function])
    assert not ran


def test_coordinates_that_do_not_fit_are_refused_before_the_run(coupled):
    ran = []

    class Watched(coupled):
        def forward(self, t, state, drive):
            ran.append(t)
            return super().forward(t, state, drive)

    with pytest.raises(ValueError, match="sample"):
        nd.simulate(Watched(), rand(3, 4), [0, 1], coords={"label": ("sample", [1, 2])})
    assert not ran


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"time_constant": 0}, "time_constant = 0 must be positive, in ms"),
        ({"time_constant": -3.0}, "must be positive"),
        ({"time_constant": float("nan")}, "must be positive"),
        ({"batch_size": 0}, "batch_size = 0 must be a whole number, 1 or"),
        ({"batch_size": 2.0}, "batch_size = 2.0 must be a whole number, 1 or"),
        ({"record": "mm"}, "cannot record 'mm'; did you mean m"),
        ({"method": "rk45"}, "'rk45' is not one of"),
    ],
)
def test_wrong_arguments_are_refused(arguments, words, coupled):
    with pytest.raises(ValueError, match=words):
        nd.simulate(coupled(), rand(3, 4), [0, 1], **arguments)


@pytest.mark.parametrize(
    ("attrs", "words"),
    [
        ({"trained": True}, "cannot hold the attribute 'trained' = True"),
        ({"note": None}, "cannot hold the attribute 'note' = None"),
        ({"config": {"a": 1}}, "cannot hold the attribute 'config'.*json.dumps"),
        ({"scale_factor": 2.0}, "cannot be called 'scale_factor' here.*rename"),
        ({"_FillValue": 1.0}, "cannot be called '_FillValue' here.*rename"),
    ],
)
def test_attributes_that_a_file_would_change_are_refused(attrs, words, tmp_path):
    data = xr.Dataset({"x": ("time", [1.0, 2.0], attrs)})
    for each in (data, xr.DataTree.from_dict({"/": xr.Dataset(), "/layers/a": data})):
        with pytest.raises((TypeError, ValueError), match=words):
            nd.save(each, tmp_path / "x.nc")
    assert not list(tmp_path.iterdir())


# ---- what it does not depend on


@given(batch_size=st.integers(1, 9), seed=st.integers(0, 2**32), samples=st.integers(1, 7))
def test_the_size_of_batches_changes_nothing(batch_size, seed, samples):
    """Random starts are drawn for each sample by itself."""
    x = rand(samples, 3)

    def run(**kwargs):
        return nd.simulate(Random(), x, [0, 1, 2], method="euler", seed=seed, **kwargs)

    whole, parts = run(), run(batch_size=batch_size)
    for node in ("/", "/layers/y", "/layers/z"):
        for name in whole[node].data_vars:
            np.testing.assert_allclose(whole[node][name], parts[node][name], rtol=1e-12)
    few = nd.simulate(Random(), x[:1], [0, 1, 2], method="euler", seed=seed)
    np.testing.assert_allclose(few["logits"][:, 0], whole["logits"][:, 0], rtol=1e-12)
    starts = whole.layers["y"]["state"].values[0]
    assert len(np.unique(starts)) == starts.size, "samples do not share their numbers"
    assert np.array_equal(whole.layers["z"]["state"][0], 2 * x)


def test_seeds_give_other_random_starts_and_global_chance_is_left_alone():
    before = torch.random.get_rng_state()
    one, two, again = (nd.simulate(Random(), rand(3, 3), [0, 1], seed=s) for s in (1, 2, 1))
    assert not np.array_equal(one["logits"], two["logits"])
    xr.testing.assert_identical(one, again)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_random_starts_are_normal():
    """Many samples of one run: moments and no correlation between neighbours."""
    run = nd.simulate(Random(), torch.zeros(500, 4).double(), [0, 0.1], method="euler")
    z = run.layers["y"]["state"].values[0]
    assert abs(z.mean()) < 5 / z.size**0.5 and abs(z.std() - 1) < 5 / (2 * z.size) ** 0.5
    assert abs(np.corrcoef(z[:-1, 0], z[1:, 0])[0, 1]) < 5 / len(z) ** 0.5


@pytest.mark.parametrize("batch_size", [None, 2])
def test_batches_of_a_film(batch_size, coupled):
    film = nd.Film(rand(3, 5, 4), [0, 0.4, 0.8])
    run = nd.simulate(coupled(), film, [0, 0.4, 1], method="rk4", batch_size=batch_size)
    solution = nd.integrate(coupled(), film, [0, 0.4, 1], method="rk4", gradient="none")
    np.testing.assert_allclose(run["logits"], solution.readout, rtol=1e-12)


def test_batches_of_a_given_start_and_of_functions(coupled):
    state = (rand(5, 4), rand(5, 4, 2, 3))

    def run(batch_size):
        return nd.simulate(
            coupled(), rand(5, 4), [0, 1], initial_state=state, batch_size=batch_size,
            method="euler", record=["readout", energy, "v"],
        )  # fmt: skip

    whole, parts = run(None), run(2)
    for name in ("logits", "energy"):
        np.testing.assert_allclose(whole[name], parts[name], rtol=1e-12)
    assert np.array_equal(parts.layers["v"]["state"][0], state[0])


def test_costs_are_summed_over_batches(coupled):
    run = nd.simulate(coupled(), rand(5, 4), [0, 1], method="rk4", batch_size=2)
    assert run.attrs["nfe"] == 3 * 32 and run.attrs["accepted_steps"] == 24


# ---- progress


def test_progress_is_shown_on_stderr_and_only_if_asked(coupled, capsys):
    nd.simulate(coupled(), rand(4, 4), [0, 1])
    said = capsys.readouterr()
    assert said.out == said.err == ""
    for method in ("euler", "dopri5"):
        nd.simulate(coupled(), rand(4, 4), [1, 3], method=method, batch_size=3, progress=True)
        said = capsys.readouterr()
        assert said.out == "" and "simulated time" in said.err
        assert "100%" in said.err and "8/8" in said.err


# ---- when it cannot go on


@pytest.mark.parametrize("method", ["euler", "dopri5"])
def test_what_was_recorded_is_on_the_error(method, breaking):
    """The first batch is whole, the second stops, the third was never begun."""
    x = torch.tensor([[0.0], [0.0], [0.0], [1.0], [0.0]], dtype=torch.float64)
    with pytest.raises(nd.SolverError) as info:
        nd.simulate(
            breaking(at=0.55), x, [0.0, 0.2, 0.4, 1.0], method=method, batch_size=2,
            coords={"label": ("sample", [0, 1, 2, 3, 4])}, options={"max_step": 0.1} if
            method == "dopri5" else None,
        )  # fmt: skip
    run = info.value.recorded
    assert info.value.variables == {"b": 1}
    assert isinstance(run, xr.DataTree) and dict(run["logits"].sizes) == {
        "time": 4, "sample": 5, "category": 1,
    }  # fmt: skip
    known = np.isfinite(run["logits"].values[:, :, 0])
    assert known[:, :2].all() and not known[:, 4].any()
    assert known[:3, 2:4].all() and not known[3, 2:4].any()
    exact = 2 * (0.9 ** np.array([0, 2, 4]) if method == "euler" else np.exp([0, -0.2, -0.4]))
    np.testing.assert_allclose(run["logits"].values[:3, 3, 0], exact, rtol=1e-3)
    assert run["label"].values.tolist() == [0, 1, 2, 3, 4]
    assert run.attrs["nfe"] > (10 if method == "euler" else 60), "with those of the failed batch"


@pytest.mark.parametrize("method", ["euler", "dopri5"])
def test_an_error_at_the_very_start_is_the_same_error(method, breaking):
    x = torch.ones(3, 1, dtype=torch.float64)
    with pytest.raises(nd.SolverError, match="b in 3 of 3 samples") as info:
        nd.simulate(
            breaking(at=-1.0), x, [0, 1.0], method=method, coords={"label": ("sample", [1, 2, 3])}
        )
    assert isinstance(info.value.recorded, xr.DataTree)
    assert info.value.recorded["label"].values.tolist() == [1, 2, 3]


# ---- memory

MEMORY = """
import resource
import torch
import neurodyn as nd

class Maps(nd.Dynamics):
    variables = (nd.Variable("m", ("channel", "y", "x")),)
    step = 0.05

    def drive(self, stimulus):
        return {"x": stimulus}

    def initial_state(self, drive, generator=None):
        return (drive["x"].clone(),)

    def forward(self, t, state, drive):
        return (-state[0],)

    def readout(self, state, drive):
        return state[0].mean((2, 3))

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

def solve(door, times):
    arguments = {"method": method, "options": options, "record": "readout"}
    if door == "integrate":
        arguments["gradient"] = "none"
    getattr(nd, door)(Maps(), x, times, **arguments)

torch.set_num_threads(1)
x = torch.rand(4, 4, 128, 128)
for method in ("euler", "dopri5"):
    options = {"max_step": 0.25} if method == "dopri5" else None
    for door in ("integrate", "simulate") if method == "euler" else ("simulate",):
        solve(door, [0, 0.1])
        before = peak()
        solve(door, [0, 1.0])
        few = peak()
        solve(door, torch.linspace(0, 1, 200))
        print(door, method, before, few, peak())
"""


def test_a_readout_at_many_times_takes_no_more_memory():
    """200 times or 2: at most 10% more of what the solve itself takes (a state is 1 MB)."""
    pytest.importorskip("resource")
    done = subprocess.run(
        [sys.executable, "-c", MEMORY], capture_output=True, text=True, timeout=120, cwd=ROOT,
        env=os.environ | {"MALLOC_MMAP_THRESHOLD_": "262144"},  # what is freed is given back
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    unit, state = (1024 if sys.platform == "linux" else 1), 4 * 4 * 4 * 128 * 128
    for line in done.stdout.splitlines():
        door, method, *peaks = line.split()
        before, few, many = (int(peak) * unit for peak in peaks)
        own = max(few - before, 10 * state)
        assert many - few <= 0.1 * own, f"{door}, {method}: {(many - few) / 1e6:.1f} MB more"


# ---- files


def a_tree(coupled):
    run = nd.simulate(
        coupled(dtype=torch.float32), rand(3, 4).float(), [0, 0.5, 1], time_constant=10.0,
        coords={"label": ("sample", [7, 8, 9]), "name": ("sample", ["a", "bc", "ü"]),
                "seen": ("sample", [True, False, True]), "noise": 0.25},
    )  # fmt: skip
    run["logits"][0, 0, 0] = np.nan
    return run


def identical(a, b):
    xr.testing.assert_identical(a, b)
    nodes = zip(a.subtree, b.subtree, strict=True) if isinstance(a, xr.DataTree) else [(a, b)]
    for one, other in nodes:
        assert set(one.variables) == set(other.variables)
        for name, variable in one.variables.items():
            if variable.dtype.kind != "U":  # text comes back as text, of any length
                assert variable.dtype == other.variables[name].dtype, name
            assert variable.attrs == other.variables[name].attrs
        assert one.attrs == other.attrs


def test_what_is_saved_is_what_is_loaded(tmp_path, coupled):
    run = a_tree(coupled)
    path = nd.save(run, tmp_path / "new" / "folder" / "run.nc")
    assert path == tmp_path / "new" / "folder" / "run.nc"
    identical(nd.load(path), run)
    identical(nd.load(str(path)), run)
    assert "neurodyn_kind" not in run.attrs and "neurodyn_kind" not in nd.load(path).attrs
    nd.save(nd.load(path), str(path))  # over itself
    identical(nd.load(path), run)
    assert os.listdir(path.parent) == ["run.nc"]


def test_a_tree_without_branches_stays_a_tree_and_a_dataset_a_dataset(tmp_path, coupled):
    run = nd.simulate(coupled(), rand(3, 4), [0, 1], record="readout")
    assert not run.children
    identical(nd.load(nd.save(run, tmp_path / "tree.nc")), run)
    assert isinstance(nd.load(tmp_path / "tree.nc"), xr.DataTree)
    dataset = run.to_dataset()
    identical(nd.load(nd.save(dataset, tmp_path / "dataset.nc")), dataset)
    assert isinstance(nd.load(tmp_path / "dataset.nc"), xr.Dataset)


def test_a_branch_can_be_saved(tmp_path, coupled):
    branch = a_tree(coupled).layers["m"]
    loaded = nd.load(nd.save(branch, tmp_path / "branch.nc"))
    assert np.array_equal(loaded["state"], branch["state"])
    assert loaded["time"].values.tolist() == [0, 5, 10]


def test_other_peoples_files_can_be_loaded(tmp_path):
    dataset = xr.Dataset({"x": ("time", [1.0, 2.0])})
    dataset.to_netcdf(tmp_path / "plain.nc", engine="h5netcdf")
    identical(nd.load(tmp_path / "plain.nc"), dataset)
    tree = xr.DataTree.from_dict({"/": dataset, "/a": dataset})
    tree.to_netcdf(tmp_path / "tree.nc", engine="h5netcdf")
    identical(nd.load(tmp_path / "tree.nc"), tree)


@given(
    shape=st.lists(st.integers(0, 3), min_size=1, max_size=3),
    dtype=st.sampled_from(["f4", "f8", "i4", "i8", "u1", "bool"]),
    seed=st.integers(0, 99),
)
def test_any_dataset_comes_back(tmp_path_factory, shape, dtype, seed):
    values = (np.random.default_rng(seed).random(shape) * 200).astype(dtype)
    dims = [f"d{i}" for i in range(len(shape))]
    dataset = xr.Dataset({"x": (dims, values, {"units": "mV"})}, attrs={"seed": seed, "r": 0.1})
    path = tmp_path_factory.mktemp("any") / "x.nc"
    identical(nd.load(nd.save(dataset, path)), dataset)


@pytest.mark.skipif(os.name == "nt", reason="Windows locks open files")
def test_whoever_reads_the_old_file_goes_on_reading_it(tmp_path):
    path = nd.save(xr.Dataset({"x": ("time", [1.0, 2.0])}), tmp_path / "run.nc")
    before = path.read_bytes()
    with path.open("rb") as reader:
        nd.save(xr.Dataset({"x": ("time", [3.0, 4.0])}), path)
        assert reader.read() == before
    assert nd.load(path)["x"].values.tolist() == [3.0, 4.0]


@pytest.mark.parametrize("kind", [xr.DataTree, xr.Dataset])
def test_a_write_that_fails_leaves_the_old_file(kind, tmp_path, monkeypatch, coupled):
    run = a_tree(coupled)
    data = run if kind is xr.DataTree else run.to_dataset()
    path = nd.save(data, tmp_path / "run.nc")

    def breaks(self, target, **kwargs):
        Path(target).write_bytes(b"half of a file")
        raise OSError("no space left on device")

    monkeypatch.setattr(kind, "to_netcdf", breaks)
    with pytest.raises(OSError, match="no space left"):
        nd.save(data, path)
    with pytest.raises(OSError, match="no space left"):
        nd.save(data, tmp_path / "other.nc")
    monkeypatch.undo()
    identical(nd.load(path), data)
    assert os.listdir(tmp_path) == ["run.nc"]


def test_the_file_can_be_read_by_whom_files_usually_can(tmp_path):
    (tmp_path / "usual").touch()
    path = nd.save(xr.Dataset({"x": 1.0}), tmp_path / "run.nc")
    assert path.stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_only_trees_and_datasets_are_saved(tmp_path):
    with pytest.raises(TypeError, match="a DataTree or a Dataset, got DataArray"):
        nd.save(xr.DataArray([1.0]), tmp_path / "x.nc")
    assert not os.listdir(tmp_path)


def test_files_that_cannot_be_loaded_are_said(tmp_path, coupled):
    with pytest.raises(FileNotFoundError, match="there is no file .*nothing.nc"):
        nd.load(tmp_path / "nothing.nc")
    with pytest.raises(FileNotFoundError):
        nd.load(tmp_path)
    whole = nd.save(a_tree(coupled), tmp_path / "whole.nc").read_bytes()
    for name, content in (
        ("text.nc", b"not netCDF at all"), ("empty.nc", b""),
        ("short.nc", whole[:600]), ("half.nc", whole[: len(whole) // 2]),
    ):  # fmt: skip
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=f"{name} is not a netCDF .*file, or is damaged"):
            nd.load(tmp_path / name)


def test_the_drive_is_computed_once(coupled):
    dynamics = coupled()
    calls, drive = [], dynamics.drive
    dynamics.drive = lambda stimulus: calls.append(len(stimulus)) or drive(stimulus)
    nd.simulate(dynamics, rand(5, 4), [0, 1], batch_size=2)
    assert calls == [2, 2, 1]


@pytest.mark.parametrize(
    ("stimulus", "message"),
    [(lambda t: 5, "a stimulus is"), (lambda t: rand(3 - int(t > 0.5), 4), "as many at all times")],
)
def test_functions_that_are_no_stimuli(stimulus, message, coupled):
    with pytest.raises((TypeError, ValueError), match=message):
        nd.simulate(coupled(), stimulus, [0, 1])


def test_coordinates_that_do_not_fit_lose_no_result(coupled):
    with pytest.warns(UserWarning, match="left out"):
        run = nd.simulate(coupled(), rand(3, 4), [0, 1], coords={"category": [1, 2]})
    assert run["logits"].shape == (2, 3, 4) and "category" not in run.coords
    with pytest.raises(ValueError, match="layers"):
        nd.simulate(coupled(), rand(3, 4), [0, 1], coords={"layers": 1.0})


@pytest.mark.parametrize("attrs", [{"neurodyn_kind": "x"}, {"a": [1]}, {"a": b"x"}])
def test_attributes_that_would_not_come_back_are_refused(attrs, tmp_path):
    with pytest.raises((TypeError, ValueError), match="attribute"):
        nd.save(xr.Dataset({"x": 1.0}, attrs=attrs), tmp_path / "x.nc")


def test_dates_are_refused(tmp_path):
    when = np.array(["2020-01-01"], dtype="datetime64[ns]")
    with pytest.raises(TypeError, match="astype"):
        nd.save(xr.Dataset({"when": ("sample", when)}), tmp_path / "x.nc")


def test_a_function_that_returns_nothing_is_called_and_not_kept(coupled):
    seen = []

    def adds_up(t, state):
        seen.append((float(t), len(state[0])))

    run = nd.simulate(coupled(), rand(5, 4), [0, 0.5, 1], record=adds_up, batch_size=3)
    assert seen == [(t, n) for n in (3, 2) for t in (0, 0.5, 1)]
    assert not run.data_vars and not run.children


def test_observables_lie_beside_their_variable_and_are_recorded_if_named():
    model = nd.Kuramoto(torch.ones(1, 1, 3, 3), rate=0.1)
    x = rand(2, 1, 4, 4).float().abs()
    default = nd.simulate(model, x, [0, 1])
    assert set(default.layers["phase"].data_vars) == {"phase"}
    both = nd.simulate(model, x, [0, 1], record=["amplitude", "phase"])
    assert set(both.layers["phase"].data_vars) == {"phase", "amplitude"}
    assert np.array_equal(both.layers["phase"]["amplitude"][1], x)
    with pytest.raises(ValueError, match="amplitude"):
        nd.simulate(model, x, [0, 1], record="amplitudes")
