"""Phase oscillators against the authors' code, theory, and sums written out."""

import math
from pathlib import Path

import networkx
import numpy as np
import pytest
import scipy.sparse
import torch
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import neurodyn as nd
from neurodyn.coupling import Convolution, Graph, MeanField, fold_kernel

DATA = Path(__file__).parent / "data" / "komplexnet.npz"


@pytest.fixture(scope="module")
def oracle():
    with np.load(DATA) as data:
        return {name: torch.from_numpy(data[name]) for name in data.files if data[name].shape}


def random(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def naive(matrix, amplitude, phase, rate, epsilon=0.0, omega=0.0, lag=0.0):
    """The equation, oscillator by oscillator, for one sample."""
    n = len(phase)
    out = np.zeros(n)
    for i in range(n):
        for j in range(n):
            pull = (matrix[i, j] - epsilon) * math.tanh(amplitude[j])
            out[i] += rate * pull * math.sin(phase[j] - phase[i] - lag)
    return out + omega


# ---- the published scheme


def test_fifteen_steps_of_the_authors_code(oracle):
    model = nd.Kuramoto(oracle["weights.kernel_kuramoto"], rate=0.006, desynchrony=0.202)
    run = nd.integrate(
        model, oracle["amplitude"], range(16), initial_state=(oracle["phase0"],), method="euler",
        gradient="none",
    )  # fmt: skip
    error = (run.states[0][1:] - oracle["phases"]).abs().max() / oracle["phases"].abs().max()
    assert error < 1e-5
    assert run.stats.evaluations == 15


def test_the_record_wraps_and_the_solver_does_not(oracle):
    model = nd.Kuramoto(oracle["weights.kernel_kuramoto"], rate=0.006, desynchrony=0.202)
    tree = nd.simulate(
        model, oracle["amplitude"], range(16), initial_state=(oracle["phase0"],), method="euler",
        record=["phase", "amplitude"],
    )  # fmt: skip
    phase = tree.layers["phase"]["phase"]
    wanted = oracle["phases"].numpy()
    assert np.abs(wanted).max() > np.pi > np.abs(phase).max() - 1e-6
    assert np.abs(np.exp(1j * phase.values[1:]) - np.exp(1j * wanted)).max() < 2e-5
    assert phase.dtype == np.float32 and phase.attrs["units"] == "rad"
    assert np.array_equal(tree.layers["phase"]["amplitude"][3], oracle["amplitude"])


@given(st.floats(-1e4, 1e4, width=32))
def test_wrapping_is_into_the_half_open_circle(value):
    variable = nd.Variable("phase", (), period=2 * math.pi)
    wrapped = variable.recorded(np.array([value], np.float32))
    assert -np.float32(np.pi) < wrapped[0] <= np.float32(np.pi)
    assert abs(np.exp(1j * np.float64(wrapped[0])) - np.exp(1j * np.float64(value))) < 2e-3


# ---- couplings against sums written out


@pytest.mark.parametrize("padding", ["zeros", "circular", "replicate"])
@pytest.mark.parametrize("size", [(6, 8), (5, 7)], ids=["folded", "plain"])
@pytest.mark.parametrize("side", [(3, 3), (5, 1), (1, 5), (7, 5)])
def test_a_kernel_is_the_sum_over_its_taps(padding, size, side):
    kernel, x = random(2, 2, *side), random(3, 2, *size, seed=1)
    coupling = Convolution(kernel, padding=padding)
    weights = coupling.prepare(x)
    assert (weights.shape[0] == 4) == (size == (6, 8))
    got = coupling(weights, x)
    wanted = torch.zeros_like(x)
    for y, column in np.ndindex(size):
        for dy, dx in np.ndindex(side):
            v, u = y + dy - side[0] // 2, column + dx - side[1] // 2
            if padding == "circular":
                v, u = v % size[0], u % size[1]
            elif padding == "replicate":
                v, u = min(max(v, 0), size[0] - 1), min(max(u, 0), size[1] - 1)
            if 0 <= v < size[0] and 0 <= u < size[1]:
                wanted[:, :, y, column] += x[:, :, v, u] @ kernel[:, :, dy, dx].T
    assert torch.allclose(got, wanted, atol=1e-12)


def test_folding_halves_the_width_of_a_kernel():
    assert fold_kernel(torch.zeros(8, 8, 13, 13)).shape == (16, 16, 13, 7)
    assert fold_kernel(torch.zeros(1, 1, 11, 11)).shape == (2, 2, 11, 7)


@pytest.mark.parametrize(
    "kind", ["dense", "numpy", "sparse", "torch sparse", "labelled", "networkx"]
)
def test_a_graph_is_the_sum_over_its_edges(kind):
    matrix = random(5, 5).numpy() * (random(5, 5, seed=3).numpy() > 0)
    network = networkx.DiGraph()
    network.add_nodes_from(range(5))
    network.add_weighted_edges_from(
        (j, i, matrix[i, j])
        for i, j in np.argwhere(matrix)  # an edge runs from source to target
    )
    given = {
        "dense": torch.from_numpy(matrix),
        "numpy": matrix,
        "torch sparse": torch.from_numpy(matrix).to_sparse(),
        "sparse": scipy.sparse.csr_array(matrix),
        "labelled": xr.DataArray(matrix.T, dims=("source", "target")),
        "networkx": network,
    }[kind]
    amplitude, phase = random(2, 5, seed=1).abs(), random(2, 5, seed=2)
    model = nd.Kuramoto(given, rate=0.3, desynchrony=0.2, phase_lag=0.4, natural_frequency=0.7)
    (rate,) = nd.bind(model, amplitude)(torch.tensor(0.0), (phase,))
    for s in range(2):
        wanted = naive(matrix, amplitude[s], phase[s], 0.3, 0.2, 0.7, 0.4)
        assert np.allclose(rate[s], wanted, atol=1e-6)  # rates are float32


def test_the_mean_field_is_the_full_matrix():
    amplitude, phase = random(2, 6, seed=1).abs(), random(2, 6, seed=2)
    (rate,) = nd.bind(nd.Kuramoto(1.5, rate=0.3), amplitude)(torch.tensor(0.0), (phase,))
    for s in range(2):
        assert np.allclose(rate[s], naive(np.full((6, 6), 1.5), amplitude[s], phase[s], 0.3))


def test_the_mean_field_of_a_hundred_thousand_makes_no_matrix():
    amplitude = torch.ones(1, 100_000)
    phase = random(1, 100_000, dtype=torch.float32)
    (rate,) = nd.bind(nd.Kuramoto(1.0, rate=1.0), amplitude)(torch.tensor(0.0), (phase,))
    z = torch.polar(torch.ones_like(phase).double(), phase.double()).sum() * math.tanh(1)
    wanted = (z * torch.polar(torch.ones(5).double(), -phase[0, :5].double())).imag
    assert torch.allclose(rate[0, :5].double(), wanted, rtol=1e-3)


@pytest.mark.parametrize(("normalize", "divisor"), [("number", 6.0), ("gate", None)])
def test_normalisation(normalize, divisor):
    amplitude, phase = random(2, 6, seed=1).abs(), random(2, 6, seed=2)
    (raw,) = nd.bind(nd.Kuramoto(1.5, rate=1.0), amplitude)(torch.tensor(0.0), (phase,))
    model = nd.Kuramoto(1.5, rate=1.0, normalize=normalize)
    (rate,) = nd.bind(model, amplitude)(torch.tensor(0.0), (phase,))
    of = divisor or amplitude.tanh().sum(1, keepdim=True)
    assert torch.allclose(rate, raw / of)
    silent = nd.bind(model, 0 * amplitude)(torch.tensor(0.0), (phase,))[0]
    assert torch.equal(silent, torch.zeros_like(silent))


# ---- theory


@pytest.mark.parametrize("difference", [0.2, 1.0, 1.9])
def test_two_oscillators_lock_where_theory_says(difference):
    """phi' = difference - 2 K b sin(phi), so that phi = asin(difference / 2 K b)."""
    omega = torch.tensor([difference / 2, -difference / 2])
    model = nd.Kuramoto(1.0, rate=1.0, natural_frequency=omega)
    amplitude = torch.full((1, 2), 20.0).double()
    start = (torch.zeros(1, 2).double(),)
    run = nd.integrate(model, amplitude, [0.0, 60.0], initial_state=start, rtol=1e-9, atol=1e-10)
    gap = run.states[0][-1, 0, 0] - run.states[0][-1, 0, 1]
    assert float(gap) == pytest.approx(math.asin(difference / 2), abs=1e-5)


def test_two_identical_oscillators_follow_the_exact_solution():
    """phi' = -2 K sin(phi): tan(phi(t) / 2) = tan(phi(0) / 2) exp(-2 K t)."""
    model = nd.Kuramoto(0.7, rate=1.0)
    amplitude = torch.full((1, 2), 40.0).double()
    start = (torch.tensor([[1.0, -1.2]]).double(),)
    t = torch.linspace(0, 3, 7).double()
    run = nd.integrate(model, amplitude, t, initial_state=start, rtol=1e-9, atol=1e-11)
    gap = run.states[0][:, 0, 0] - run.states[0][:, 0, 1]
    wanted = 2 * torch.atan(math.tan(1.1) * torch.exp(-2 * float(torch.tensor(0.7)) * t))
    assert torch.allclose(gap, wanted, atol=1e-7)


def test_the_mean_field_synchronises_beyond_the_critical_coupling():
    """Lorentzian frequencies of width g: Kc = 2 g and R = sqrt(1 - Kc / K) (Kuramoto)."""
    n, width = 2000, 0.5
    quantile = (torch.arange(n) + 0.5) / n
    omega = width * torch.tan(math.pi * (quantile - 0.5))
    amplitude = torch.full((1, n), 20.0)
    start = (random(1, n, dtype=torch.float32) * 3,)
    reached = {}
    for strength in (0.5, 2.0, 4.0):
        model = nd.Kuramoto(
            strength, rate=1.0, natural_frequency=omega.clamp(-60, 60), normalize="number"
        )
        run = nd.integrate(
            model, amplitude, torch.linspace(0, 40, 81), initial_state=start, method="rk4",
            options={"step_size": 0.02}, record="readout", gradient="none",
        )  # fmt: skip
        reached[strength] = float(run.readout[40:].mean())
    assert reached[0.5] < 0.1
    assert reached[2.0] == pytest.approx(math.sqrt(1 - 1 / 2), abs=0.03)
    assert reached[4.0] == pytest.approx(math.sqrt(1 - 1 / 4), abs=0.03)


@given(st.floats(-10, 10), st.integers(0, 20))
def test_a_rotation_of_all_phases_changes_no_derivative(angle, seed):
    model = nd.Kuramoto(random(2, 2, 3, 3), rate=0.3, desynchrony=0.1, phase_lag=0.2)
    amplitude, phase = random(2, 2, 4, 4, seed=seed).abs(), random(2, 2, 4, 4, seed=seed + 1)
    f = nd.bind(model.double(), amplitude)
    t = torch.tensor(0.0)
    assert torch.allclose(f(t, (phase,))[0], f(t, (phase + angle,))[0], atol=1e-10)


def symmetric_kernel():
    kernel = random(2, 2, 3, 3)
    return kernel + kernel.transpose(0, 1).flip(2, 3)


@pytest.mark.parametrize("normalize", [None, "number", "gate"])
def test_the_flow_descends_its_energy_at_the_stated_rate(normalize):
    model = nd.Kuramoto(symmetric_kernel(), rate=0.3, desynchrony=0.1, normalize=normalize).double()
    amplitude, phase = random(2, 2, 4, 4, seed=1).abs(), random(2, 2, 4, 4, seed=2)
    f = nd.bind(model, amplitude)
    drive = f.drive(0.0)
    (velocity,) = f(torch.tensor(0.0), (phase,))
    energy, slope = torch.func.jvp(lambda x: model.energy((x,), drive), (phase,), (velocity,))
    wanted = -(amplitude.tanh() * velocity**2).flatten(1).sum(1) / model.rate
    assert torch.allclose(slope, wanted)
    cos = torch.cos(phase.flatten(1)[:, :, None] - phase.flatten(1)[:, None])
    gate = amplitude.tanh().flatten(1)
    unit = torch.eye(32).double().view(32, 2, 4, 4)
    matrix = model.coupling(model.coupling.prepare(unit), unit).flatten(1).T - 0.1
    wanted = -0.5 * torch.einsum("si,sj,ij,sij->s", gate, gate, matrix, cos)
    of = {None: 1.0, "number": 32, "gate": gate.sum(1)}[normalize]
    assert torch.allclose(energy, wanted / of, rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"coupling": random(2, 2, 3, 3)}, "not symmetric"),
        ({"coupling": symmetric_kernel(), "phase_lag": 0.1}, "phase lag"),
        (
            {"coupling": symmetric_kernel(), "natural_frequency": torch.rand(2, 4, 4)},
            "frequencies differ",
        ),
        ({"coupling": symmetric_kernel(), "rate": -1.0}, "rate is not positive"),
    ],
)
def test_what_is_not_descended_is_not_called_energy(options, reason):
    model = nd.Kuramoto(options.pop("coupling"), **({"rate": 0.3} | options)).double()
    with pytest.raises(ValueError, match=reason):
        model.energy((random(1, 2, 4, 4),), model.drive(random(1, 2, 4, 4).abs()))


def test_negative_amplitudes_have_no_energy_and_an_order_parameter_up_to_one():
    model = nd.Kuramoto(symmetric_kernel(), rate=0.3).double()
    drive, phase = model.drive(random(3, 2, 4, 4)), random(3, 2, 4, 4, seed=1)
    with pytest.raises(ValueError, match="negative"):
        model.energy((phase,), drive)
    assert (model.readout((phase,), drive) <= 1).all()


@pytest.mark.parametrize(
    ("coupling", "symmetric"),
    [
        (Graph(np.ones((3, 3))), True),
        (Graph(np.triu(np.ones((3, 3)))), False),
        (Graph(scipy.sparse.csr_array(np.ones((3, 3)))), True),
        (Graph(scipy.sparse.csr_array(np.triu(np.ones((3, 3))))), False),
        (Convolution(symmetric_kernel(), padding="circular"), True),
        (Convolution(symmetric_kernel(), padding="replicate"), False),
        (MeanField(2.0), True),
    ],
)
def test_symmetry_is_seen(coupling, symmetric):
    assert (coupling.asymmetry() < 1e-6) == symmetric


def test_an_untrained_scene_ends_in_antiphase():
    """Two separate squares, the published kernel: each synchronises, apart from the other."""
    amplitude = torch.zeros(1, 1, 32, 32)
    amplitude[..., 2:12, 2:12] = amplitude[..., 20:30, 20:30] = 1.0
    kernel = torch.ones(1, 1, 13, 13)
    model = nd.Kuramoto(kernel, rate=0.05, desynchrony=0.2)
    generator = torch.Generator().manual_seed(0)
    phase = nd.integrate(model, amplitude, [0.0, 15.0], generator=generator).states[0][-1, 0, 0]
    z = torch.polar(torch.ones_like(phase), phase)
    one, other = z[2:12, 2:12].mean(), z[20:30, 20:30].mean()
    assert one.abs() > 0.95 and other.abs() > 0.95
    assert abs((one * other.conj()).angle()) > 3.0


# ---- the contract


def test_gradients_reach_everything():
    kernel = torch.nn.Parameter(random(1, 1, 3, 3))
    rate = torch.nn.Parameter(torch.tensor(0.3).double())
    amplitude = random(1, 1, 4, 4, seed=1).abs().requires_grad_()
    phase = random(1, 1, 4, 4, seed=2).requires_grad_()

    def last(kernel_, rate_, amplitude_, phase_):
        model = nd.Kuramoto(torch.zeros(1, 1, 3, 3).double(), rate=1.0, desynchrony=0.1).double()
        for name, value in {"coupling.kernel": kernel_, "rate": rate_}.items():
            owner = model.get_submodule(name.rpartition(".")[0])
            del owner._buffers[name.rpartition(".")[2]]
            setattr(owner, name.rpartition(".")[2], value)
        return nd.integrate(
            model, amplitude_, [0.0, 3.0], initial_state=(phase_,), method="euler"
        ).states[0][-1]  # fmt: skip

    assert torch.autograd.gradcheck(last, (kernel, rate, amplitude, phase))


def test_random_phases_come_from_the_generator_and_from_nowhere_else():
    model, amplitude = nd.Kuramoto(1.0, rate=0.1), torch.ones(3, 5)
    with pytest.raises(ValueError, match="generator"):
        nd.integrate(model, amplitude, [0.0, 1.0])
    a, b = (
        nd.integrate(model, amplitude, [0.0, 1.0], generator=torch.Generator().manual_seed(3))
        for _ in range(2)
    )
    assert torch.equal(a.states[0], b.states[0])
    whole = nd.simulate(model, amplitude, [0.0, 1.0], method="euler", seed=3)
    parts = nd.simulate(model, amplitude, [0.0, 1.0], method="euler", seed=3, batch_size=2)
    xr.testing.assert_allclose(
        whole.layers["phase"].to_dataset(), parts.layers["phase"].to_dataset()
    )
    assert len(np.unique(whole.layers["phase"]["phase"][0])) == 15


def test_uniform_phases_are_uniform():
    model = nd.Kuramoto(1.0, rate=0.1)
    drive = model.drive(torch.ones(1, 20_000))
    (phase,) = model.initial_state(drive, torch.Generator().manual_seed(0))
    count, _ = np.histogram(phase, bins=20, range=(-np.pi, np.pi))
    assert count.sum() == 20_000 and abs(count - 1000).max() < 5 * math.sqrt(950)


def test_a_silent_sample_has_no_order_parameter():
    model = nd.Kuramoto(1.0, rate=0.1)
    f = nd.bind(model, torch.tensor([[0.0, 0.0], [1.0, 1.0]]))
    r = f.readout((torch.zeros(2, 2),))
    assert torch.isnan(r[0]) and r[1] == 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nd.Kuramoto(torch.ones(1, 1, 4, 4), rate=1.0), "odd height"),
        (lambda: nd.Kuramoto(torch.ones(2, 1, 3, 3), rate=1.0), "as many targets"),
        (lambda: nd.Kuramoto(torch.ones(2, 3), rate=1.0), "square"),
        (lambda: nd.Kuramoto("kernel", rate=1.0), "a coupling is"),
        (lambda: nd.Kuramoto(1.0, rate=math.nan), "finite"),
        (lambda: nd.Kuramoto(1.0, rate=torch.ones(2)), "one number"),
        (lambda: nd.Kuramoto(1.0, rate=1.0, desynchrony=torch.ones(2)), "one number"),
        (lambda: nd.Kuramoto(1.0, rate=1.0, normalize="sum"), "not one of"),
        (lambda: nd.Kuramoto(np.array([[math.nan]]), rate=1.0), "NaN"),
        (lambda: Convolution(torch.ones(1, 1, 3, 3), padding="mirror"), "not one of"),
        (lambda: nd.Kuramoto(1.0, rate=1.0).drive(torch.ones(1, 2, 3, 3)), "dims"),
        (lambda: nd.Kuramoto(np.eye(3), rate=1.0).drive(torch.ones(1, 4)), "couples"),
        (lambda: nd.Kuramoto(torch.ones(1, 1, 3, 3), rate=1.0).drive(torch.ones(1, 4)), "maps"),
        (
            lambda: nd.Kuramoto(1.0, rate=1.0, natural_frequency=torch.ones(3)).drive(
                torch.ones(1, 4)
            ),
            "natural_frequency",
        ),
    ],
)
def test_errors_at_the_door(make, message):
    with pytest.raises((TypeError, ValueError), match=message):
        make()
