"""The step limit against formulas, numpy's eigenvalues, known spectra and Euler's method."""

import warnings

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse
import scipy.sparse.linalg
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import neurodyn as nd
from neurodyn.jacobian import Jacobian, flat, shaped
from neurodyn.krylov import Arnoldi
from neurodyn.models import gaspnet, gattanet, komplexnet, pc_shallow
from neurodyn.stability import step_limit

SPIRAL = [[-0.2, 3.0], [-3.0, -0.2]]


def random(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def at_rest(flow, matrix, samples=1):
    """A linear system at its fixed point."""
    y = torch.zeros(samples, len(matrix), dtype=torch.float64)
    return flow(torch.as_tensor(matrix, dtype=torch.float64)), y, (y,)


def blocks(reals, spirals):
    """A matrix with given eigenvalues."""
    matrix = scipy.sparse.block_diag([*reals, *([[a, b], [-b, a]] for a, b in spirals)])
    return torch.from_numpy(matrix.toarray())


def mixed(matrix, seed=0):
    """The matrix in another orthonormal basis: three reflections."""
    for v in random(3, len(matrix), seed=seed):
        v = v / v.norm()
        matrix = matrix - 2 * torch.outer(v, v @ matrix)
        matrix = matrix - 2 * torch.outer(matrix @ v, v)
    return matrix


def limit_of(values):
    decaying = values[values.real < 0]
    return (-2 * decaying.real / np.abs(decaying) ** 2).min()


class Gated(nd.Dynamics):
    """dy/dt = -s(t) y - y^3: another Jacobian for each sample, state and time."""

    variables = (nd.Variable("y", ("unit",)),)
    step = 0.5

    def drive(self, stimulus):
        return {"gate": stimulus}

    def initial_state(self, drive, generator=None):
        return (torch.zeros_like(drive["gate"]),)

    def forward(self, t, state, drive):
        return (-drive["gate"] * state[0] - state[0] ** 3,)

    def readout(self, state, drive):
        return state[0]


# ---- formulas


@given(st.lists(st.floats(-50, 5).filter(lambda x: abs(x) > 1e-3), min_size=1, max_size=9))
def test_diagonal_systems(flow, diagonal):
    found = step_limit(*at_rest(flow, np.diag(diagonal)), modes=len(diagonal))
    decay = [-x for x in diagonal if x < 0]
    assert found.limit.item() == pytest.approx(2 / max(decay) if decay else np.inf)
    assert found.unstable_found.item() == len(diagonal) - len(decay)
    assert found.neutral_found.item() == 0
    assert np.allclose(found.mode_real[0], sorted(diagonal, reverse=True))
    if decay:
        assert found.stiffness.item() == pytest.approx(max(decay) / min(decay))
        assert found.deciding_real.item() == pytest.approx(-max(decay))
    else:
        assert np.isnan(found.stiffness.item()) and np.isnan(found.deciding_real.item())


def test_a_slow_spiral_decides(flow):
    found = step_limit(*at_rest(flow, SPIRAL), modes=2)
    assert found.limit.item() == pytest.approx(0.4 / 9.04)  # where -2 / Re would say 10
    assert found.deciding_imaginary.item() == pytest.approx(3)
    assert np.allclose(found.mode_imaginary, [[3, -3]])
    # beside a real mode that is fifty times as fast
    found = step_limit(*at_rest(flow, blocks([-10.0], [(-0.2, 3.0)])))
    assert found.limit.item() == pytest.approx(0.4 / 9.04)
    assert found.stiffness.item() == pytest.approx(50)
    assert found.attrs["complete"] == found.attrs["converged"] == 1


def test_a_spiral_turns_outwards_just_beyond_its_limit(flow):
    model, y, _ = at_rest(flow, SPIRAL)
    limit = step_limit(model, y, (y,)).limit.item()
    for share, grows in ((0.98, False), (1.02, True)):
        run = nd.integrate(
            model, y, [0.0, 400 * share * limit], method="euler", initial_state=(y + 1,),
            options={"step_size": share * limit}, gradient="none",
        )  # fmt: skip
        assert (run.states[0][-1].norm() > run.states[0][0].norm()) == grows


def test_multiple_eigenvalues_are_counted_as_often_as_there_are(flow):
    found = step_limit(*at_rest(flow, np.diag([1.0] * 4 + [-2.0] * 3 + [0.0] * 2)), modes=9)
    assert (found.unstable_found.item(), found.neutral_found.item()) == (4, 2)
    assert np.allclose(found.mode_real[0], [1] * 4 + [0] * 2 + [-2] * 3)


@pytest.mark.parametrize("stored", ["dense", "sparse"])
def test_synchronised_oscillators_are_a_laplacian(stored):
    weights = random(12, 12).abs() * (random(12, 12, seed=1) > 0.3)
    weights = (weights + weights.T).numpy()
    values = np.linalg.eigvalsh(np.diag(weights.sum(1)) - weights)
    graph = scipy.sparse.coo_array(weights) if stored == "sparse" else torch.from_numpy(weights)
    model = nd.Kuramoto(graph, rate=0.7).double()
    amplitude = torch.full((1, 12), 30.0, dtype=torch.float64)
    state = (torch.full_like(amplitude, 0.3),)
    whole = step_limit(model, amplitude, state)
    rest = step_limit(model, amplitude, state, symmetry="shift", modes=11)
    assert (whole.neutral_found.item(), rest.neutral_found.item()) == (1, 0)
    for found in (whole, rest):
        assert found.limit.item() == pytest.approx(2 / (0.7 * values[-1]))
        assert found.stiffness.item() == pytest.approx(values[-1] / values[1])
        assert found.unstable_found.item() == 0
    assert np.allclose(rest.mode_real[0], -0.7 * values[1:])
    given = step_limit(model, amplitude, state, symmetry=(torch.full_like(amplitude, -2),))
    assert given.limit.item() == pytest.approx(rest.limit.item())
    assert (given.attrs["symmetry"], rest.attrs["symmetry"]) == ("given", "shift")


# ---- against numpy, and known spectra


def test_all_modes_of_a_dense_system(flow):
    matrix = random(50, 50) - 3 * torch.eye(50)
    found = step_limit(*at_rest(flow, matrix), modes=50)
    values = np.linalg.eigvals(matrix.numpy())
    values = values[np.lexsort((-values.imag, -values.real))]
    assert np.allclose(found.mode_real[0] + 1j * found.mode_imaginary[0], values)
    decay = -values.real[values.real < 0]
    assert found.limit.item() == pytest.approx(limit_of(values))
    assert found.stiffness.item() == pytest.approx(decay.max() / decay.min())
    assert found.unstable_found.item() == (values.real > 0).sum() > 0


OUTSIDE = [0.05, 0.1, 0.15, 0.2, 0.25]
LARGE = {
    "a spiral beside real modes": (np.linspace(-10, -0.1, 998), [(-0.2, 3.0)], 0.01),
    "a weak spiral that hardly stands out": (np.linspace(-1, -0.02, 998), [(-0.001, 0.1)], 0.01),
    "a spiral hidden by unstable ones": (
        np.linspace(-10, -0.1, 958), [(-0.2, 3.0), *((0.1, 5 - 0.2 * i) for i in range(20))], 0.01,
    ),
    "real modes alone": (-np.geomspace(0.1, 100, 1000), [], 0.01),
    # weakly damped spirals deep inside
    "of a stiff system": (-np.geomspace(0.05, 100, 998), [(-0.0005, 0.5)], 1e-3),
    "of a stiff system, one unstable": (
        [*-np.geomspace(0.05, 100, 997), 0.3], [(-0.0005, 0.5)], 1e-3,
    ),
    "of a stiff system, in step": (np.linspace(-100, -0.05, 998), [(-0.001, 1.0)], 0.01),
    "beside five unstable ones": (
        [*np.linspace(-1, -0.001, 993), *OUTSIDE], [(-0.001, 0.05)], 0.01,
    ),
    "beside fast and unstable ones": (
        [*np.linspace(-1, -0.001, 963), *np.linspace(-10, -3, 30), *OUTSIDE], [(-0.0005, 0.08)],
        1e-3,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LARGE)
def test_large_systems_by_krylov(flow, name):
    reals, spirals, tol = LARGE[name]
    values = np.array([*reals, *(complex(a, b) for a, b in spirals)])
    values = np.concatenate([values, values[values.imag > 0].conj()])
    found = step_limit(*at_rest(flow, mixed(blocks(reals, spirals))), tol=tol)
    assert found.limit.item() == pytest.approx(limit_of(values), rel=tol)
    assert found.unstable_found.item() <= (values.real > 0).sum()
    decay = -values.real[values.real < 0]
    assert found.stiffness.item() <= decay.max() / decay.min() * (1 + 1e-9)
    assert found.attrs["complete"] == 0 and found.attrs["converged"] == 1
    assert found.hidden.item() == 0


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", list(LARGE)[4:])
def test_a_mode_that_decides_is_found_or_may_be_hidden(flow, name, seed):
    """At every dimension, from two starts: a limit too large is never called converged."""
    reals, spirals, tol = LARGE[name]
    reals = np.array(reals)[::2]
    system = at_rest(flow, mixed(blocks(reals, spirals)))
    deciding = complex(*spirals[0])
    limit = limit_of(np.array([*reals, deciding]))
    early = 0
    for max_dim in (20, 40, 60, 100, 140):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = step_limit(*system, tol=tol, max_dim=max_dim, seed=seed)
        if found.limit.item() > limit * (1 + tol):
            early += 1
            assert found.attrs["converged"] == 0
            assert found.hidden.item() >= 0.99 * abs(deciding)
    assert early  # it was there to be missed


@given(st.integers(0, 99))
def test_the_overlap_of_the_start_with_every_eigenvector_is_bounded(seed):
    """Of matrices that are far from normal, by all left eigenvectors of scipy."""
    matrix = random(30, 30, seed=seed) + 3 * torch.triu(random(30, 30, seed=seed + 100))
    spaces = Arnoldi(
        lambda v: v @ matrix.T, 1, 30, 30, lambda v: v, seed, 1e-16, torch.device("cpu")
    )
    values, left = scipy.linalg.eig(matrix.numpy(), left=True, right=False)
    true = np.log(np.abs(left.conj().T @ spaces.basis[0, 0].numpy()))
    for dimension in (1, 4, 12, 20):
        spaces.grow(dimension)
        bound = spaces.overlap(0, spaces.ritz(0)[0], values)
        assert (true <= bound + 1e-6).all()


def test_krylov_spaces_that_close(flow):
    amplitude = torch.full((1, 400), 20.0, dtype=torch.float64)
    net = nd.Kuramoto(1.0, rate=2.0, normalize="number").double()
    found = step_limit(net, amplitude, (torch.zeros_like(amplitude),), symmetry="shift")
    assert found.limit.item() == pytest.approx(1)
    found = step_limit(*at_rest(flow, torch.zeros(400, 400)))
    assert found.limit.item() == np.inf
    for either in (found, step_limit(*at_rest(flow, torch.diag(torch.ones(400))))):
        assert either.limit.item() == np.inf and either.attrs["converged"] == 1


def test_modes_far_from_orthogonal(flow):
    upper = torch.triu(random(600, 600), 2) * 3 / 600**0.5
    matrix = mixed(blocks(np.linspace(-10, -0.5, 598), [(-0.2, 3.0)]) + upper)
    found = step_limit(*at_rest(flow, matrix))
    assert found.limit.item() == pytest.approx(0.4 / 9.04, rel=1e-6)


def test_what_has_not_converged_says_so(flow):
    matrix = mixed(blocks(-np.geomspace(0.1, 100, 400), []))
    with pytest.warns(UserWarning, match=r"1 of 1 samples had not converged .* dimension 12 "):
        found = step_limit(*at_rest(flow, matrix), max_dim=12, tol=1e-6)
    assert found.residual.item() > 1e-6
    assert found.attrs["converged"] == 0
    assert found.dimension.item() == 12


# ---- Euler's method itself


def test_euler_flips_just_beyond_the_limit():
    omega = 0.3 * random(1, 9)[0]
    model = nd.Kuramoto(1.0, rate=2.0, natural_frequency=omega - omega.mean(), normalize="number")
    amplitude = torch.full((1, 9), 30.0, dtype=torch.float64)
    zero = (torch.zeros_like(amplitude),)
    rest = nd.integrate(
        model, amplitude, [0.0, 40.0], initial_state=zero, rtol=1e-10, atol=1e-12, gradient="none"
    ).states[0][-1]
    limit = step_limit(model, amplitude, (rest,), symmetry="shift").limit.item()
    for share, settles in ((0.97, True), (1.03, False)):
        step = share * limit
        run = nd.integrate(
            model, amplitude, [0.0, 799 * step, 800 * step, 801 * step], method="euler",
            initial_state=(rest + 0.01 * random(1, 9, seed=1),), options={"step_size": step},
            gradient="none",
        )  # fmt: skip
        away = (run.states[0] - rest).squeeze(1)
        away = away - away.mean(1, keepdim=True)
        assert (away[3].norm() < 1e-6) == settles
    cosine = torch.nn.functional.cosine_similarity(away[1:3], away[3], dim=1)
    assert cosine[0] > 0.999 > 0 > cosine[1]  # it has period 2


def test_euler_on_predictive_coding():
    model, images = pc_shallow(pretrained=True, error=5.0), nd.stimuli.digits(n=1)[0]
    names = [f"layer{n}" for n in (1, 2, 3)]

    def end(start, step, steps):
        run = nd.integrate(
            model, images, [0.0, steps * step], initial_state=start, method="euler",
            options={"step_size": step}, record=names, gradient="none",
        )  # fmt: skip
        return tuple(series[-1] for series in run.states)

    rest = end(None, 0.2, 200)
    found = step_limit(model, images, rest, tol=0.01)
    limit = found.limit.item()
    assert 0.2 < limit < 0.3 and found.published_steps.item() == limit
    assert found.attrs["model_dtype"] == "float32"
    pushed = tuple(y + 1e-3 * random(*y.shape).float() for y in rest)
    start = (flat(pushed) - flat(rest)).norm()
    for share, settles in ((0.96, True), (1.04, False)):
        away = (flat(end(pushed, share * limit, 120)) - flat(rest)).norm() / start
        assert (away < 1) == settles


# ---- every dynamics of the library


def smooth(model, stimulus, seed=0):
    """A state away from kinks."""
    start = nd.bind(model, stimulus).initial_state(torch.Generator().manual_seed(seed))
    return tuple(y + 0.5 * random(*y.shape, seed=seed).abs() for y in start)


def digits():
    return nd.stimuli.digits(n=2)[0]


def without_gradients_of_errors():
    model = pc_shallow(pretrained=True)
    model.detach_error = True
    return model


LIBRARY = {
    "predictive coding": (lambda: pc_shallow(pretrained=True), digits, 0.0),
    "predictive coding, error detached": (without_gradients_of_errors, digits, 0.0),
    "predictive coding, sequential": (lambda: pc_shallow(update="sequential"), digits, 0.0),
    "before its feedback": (lambda: komplexnet("feedback"), digits, 0.0),
    "feedback": (lambda: komplexnet("feedback"), digits, 2.0),
    "global attention": (
        lambda: gattanet("small"), lambda: digits().expand(-1, 3, -1, -1), 0.0,
    ),
    "phase agreement": (gaspnet, digits, 0.0),
    "sphere": (
        lambda: nd.SphereOscillators(random(8, 8, 3, 3, seed=1), components=4, rotation=0.5),
        lambda: random(2, 8, 6, 6), 0.0,
    ),
    "retraction": (
        lambda: nd.SphereOscillators(1.0, components=3, update="retraction"),
        lambda: random(2, 7, 3), 0.0,
    ),
    "sparse": (
        lambda: nd.Kuramoto(scipy.sparse.csr_array(sparse(9)), rate=0.3, phase_lag=0.2),
        lambda: random(2, 9), 0.0,
    ),
}  # fmt: skip


def sparse(size):
    return (random(size, size) * (random(size, size, seed=1) > 0)).numpy()


@pytest.mark.parametrize("name", LIBRARY)
def test_products_are_finite_differences(name):
    model, stimulus, t = LIBRARY[name]
    model, stimulus = model().double(), stimulus().double()
    state = smooth(model, stimulus)
    jacobian = Jacobian(model, stimulus, state, t)
    v = random(jacobian.samples, jacobian.size, seed=2)

    def field(y):
        return flat(jacobian.field(*shaped(y, state)))

    h = 1e-6
    with torch.no_grad():
        wanted = (field(flat(state) + h * v) - field(flat(state) - h * v)) / (2 * h)
        product = jacobian(v)
    assert (product - wanted).norm() < 1e-6 * wanted.norm()


@pytest.mark.slow
def test_the_common_shift_of_a_network():
    """Of 8192 phases, against ARPACK on finite differences of f."""
    model = komplexnet("komplexnet", pretrained=True).double()
    images = nd.stimuli.multi_digits(1).images.double()
    state = nd.bind(model, images).initial_state(torch.Generator().manual_seed(0))
    with pytest.warns(UserWarning, match="may decide unseen up to a modulus"):
        found = step_limit(model, images, state, symmetry="shift", tol=0.01, max_dim=40)
    assert found.residual.item() < 0.01  # slow modes on both sides of 0 are not all computed
    assert 0 < found.hidden.item() < 0.5 * abs(found.deciding_real.item())
    drive, at, size = model.drive(images), flat(state), flat(state).shape[1]

    def product(v):
        step = 1e-4 * torch.from_numpy(v.reshape(1, -1)) / np.abs(v).max()
        with torch.no_grad():
            high, low = (
                flat(model(torch.zeros(()), shaped(at + s, state), drive)) for s in (step, -step)
            )
        return (high - low)[0].numpy() * np.abs(v).max() / 2e-4

    shift = np.ones(size)
    assert np.abs(product(shift)).max() < 1e-6
    operator = scipy.sparse.linalg.LinearOperator((size, size), product, dtype=float)
    values = scipy.sparse.linalg.eigs(
        operator, 2, which="SR", tol=1e-4, v0=random(size).numpy(), return_eigenvectors=False
    )
    assert found.limit.item() == pytest.approx(limit_of(values), rel=0.01)


def test_samples_do_not_see_each_other():
    gate, y = random(4, 900).abs() + 0.1, random(4, 900, seed=1)
    together = step_limit(Gated(), gate, (y,), modes=2)
    for i in range(4):
        alone = step_limit(Gated(), gate[i : i + 1], (y[i : i + 1],), modes=2)
        for name in together.data_vars:
            assert np.allclose(together[name][i], alone[name][0], rtol=1e-9, atol=1e-12), name
    slope = gate + 3 * y**2
    assert np.allclose(together.limit, 2 / slope.amax(1), rtol=1e-3)
    assert np.allclose(together.published_steps, together.limit / 0.5)


def test_a_stimulus_that_changes_is_taken_at_t():
    y = torch.zeros(1, 3, dtype=torch.float64)

    def stimulus(t):
        return torch.full_like(y, 2.0) * (1 + t)

    for t in (0.0, 3.0):
        assert step_limit(Gated(), stimulus, (y,), t=t).limit.item() == pytest.approx(1 / (1 + t))


def test_zero_within_the_precision_of_the_model():
    model = nd.Kuramoto(1.0, rate=2.0, normalize="number")
    amplitude, theta = torch.full((1, 50), 20.0), torch.zeros(1, 50)
    found = step_limit(model, amplitude, (theta,))
    assert (found.neutral_found.item(), found.unstable_found.item()) == (1, 0)
    assert found.limit.item() == pytest.approx(1, rel=1e-5)
    assert 0 < found.floor.item() < 1e-3


def test_the_result_is_labelled_and_can_be_saved(flow, tmp_path):
    found = step_limit(*at_rest(flow, np.diag([-1.0, -2.0]), samples=3), modes=2, seed=4)
    assert dict(found.sizes) == {"sample": 3, "mode": 2}
    assert all({"long_name", "units"} <= set(v.attrs) for v in found.variables.values())
    assert {"neurodyn_version", "config", "seed", "t", "tol", "max_dim"} <= set(found.attrs)
    nd.save(found, tmp_path / "limit.nc")
    assert nd.load(tmp_path / "limit.nc").identical(found)


# ---- what is refused


def test_states_that_do_not_fit(flow):
    model, y, _ = at_rest(flow, np.diag([-1.0, -2.0]), samples=2)
    with pytest.raises(ValueError, match="tuple of 1 tensors, one for each of y"):
        step_limit(model, y, (y, y))
    with pytest.raises(ValueError, match=r"have the shapes \(2, 2\); got \(2, 3\)"):
        step_limit(model, y, (torch.zeros(2, 3, dtype=torch.float64),))
    with pytest.raises(ValueError, match="1 samples and the stimulus 2"):
        step_limit(model, y, (y[:1],))
    with pytest.raises(ValueError, match="not finite: y in 1 of 2 samples"):
        step_limit(model, y, (torch.tensor([[0.0, torch.nan], [0, 0]]).double(),))
    with pytest.raises(TypeError, match="bind needs a neurodyn.Dynamics, got Linear"):
        step_limit(nn.Linear(2, 2), y, (y,))


def test_jacobians_that_are_not_finite():
    class Root(Gated):
        def forward(self, t, state, drive):
            return (-state[0].abs().sqrt(),)

    y = torch.tensor([[0.0, 1.0], [1.0, 1.0]])
    with pytest.raises(ValueError, match="Jacobian is not finite: y in 1 of 2 samples"):
        step_limit(Root(), torch.ones(2, 2), (y,))


def test_arguments_out_of_range(flow):
    system = at_rest(flow, np.diag([-1.0, -2.0]))
    for modes in (0, 3, 1.5):
        with pytest.raises(ValueError, match="must be from 1 to 2: a sample has 2 modes"):
            step_limit(*system, modes=modes)
    with pytest.raises(ValueError, match="max_dim = 1 must"):
        step_limit(*system, max_dim=1)
    with pytest.raises(ValueError, match="tol = 0 must"):
        step_limit(*system, tol=0)


def test_symmetries_that_are_none(flow):
    system = at_rest(flow, np.diag([-1.0, -2.0]))
    with pytest.raises(ValueError, match="'phase' is not 'shift'"):
        step_limit(*system, symmetry="phase")
    with pytest.raises(ValueError, match="none of y has a period"):
        step_limit(*system, symmetry="shift")
    with pytest.raises(ValueError, match=r"shaped as the state, \[\(1, 2\)\]; got \[\(2,\)\]"):
        step_limit(*system, symmetry=(torch.ones(2),))
    with pytest.raises(ValueError, match="must be finite and not 0"):
        step_limit(*system, symmetry=(torch.zeros(1, 2),))
    with pytest.raises(ValueError, match=r"is none: \|J u\| / \|J v\| = [\d.]+ in sample 0"):
        step_limit(*system, symmetry=(torch.ones(1, 2),))
    free, y, state = at_rest(flow, np.diag([-1.0, 0.0]))
    found = step_limit(free, y, state, symmetry=(torch.tensor([[0.0, 3.0]]),))
    assert (found.neutral_found.item(), found.mode_real.item()) == (0, -1)
    with pytest.raises(ValueError, match="must be from 1 to 1: .* without the symmetry"):
        step_limit(free, y, state, modes=2, symmetry=(torch.tensor([[0.0, 3.0]]),))
