"""The one door to the solver: against exact solutions, torchdiffeq and runs joined by hand."""

import gc
import math
import warnings

import pytest
import torch
import torchdiffeq
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torchdiffeq._impl.odeint import SOLVERS

import neurodyn as nd
from neurodyn.methods import ADAPTIVE, FIXED, MULTISTEP

ORDER = {
    "euler": 1, "midpoint": 2, "heun2": 2, "heun3": 3, "rk4": 4,
    "explicit_adams": 3, "implicit_adams": 4, "fixed_adams": 4,
}  # fmt: skip
DECAY = torch.tensor([[-0.9]], dtype=torch.float64)
OSCILLATOR = torch.tensor([[0.0, 1.5], [-1.5, 0.0]], dtype=torch.float64)
SYSTEMS = {"decay": DECAY, "oscillator": OSCILLATOR}
NOT_CONVERGED = pytest.mark.filterwarnings("ignore:Functional iteration did not converge")
UNEVEN = [0.0, 0.31, 0.5, 1.0, 1.2345, 1.97, 2.0]


def rand(*shape, seed=0, dtype=torch.float64):
    return torch.rand(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def error_against_exact(flow, system, times, **kwargs):
    matrix = SYSTEMS[system]
    dynamics = flow(matrix)
    y0 = rand(3, len(matrix)) + 0.5
    solution = nd.integrate(
        dynamics, torch.zeros_like(y0), times, initial_state=(y0,), gradient="none", **kwargs
    )
    assert solution.times.dtype == torch.float64
    assert solution.times.tolist() == list(times)
    torch.testing.assert_close(solution.states[0][0], y0, rtol=1e-14, atol=0)
    assert torch.equal(solution.states[0], solution.readout)
    return float((solution.states[0] - dynamics.exact(y0, times)).abs().max())


# ---- exact solutions


def test_every_method_is_tested_here():
    assert set(ORDER) | set(ADAPTIVE) | {"scipy_solver"} == set(SOLVERS)


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("method", ORDER)
def test_fixed_steps_converge_with_their_order(method, system, flow):
    times = [0.0, 0.4, 1.2, 2.0]

    def error(h):
        kwargs = {"rtol": 1e-9, "atol": 1e-11} if method in MULTISTEP else {}
        return error_against_exact(
            flow, system, times, method=method, options={"step_size": h}, **kwargs
        )

    coarse, fine = error(0.02), error(0.01)
    assert math.log2(coarse / fine) == pytest.approx(ORDER[method], abs=0.25)
    assert fine < 0.05 ** ORDER[method]


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("method", ORDER)
def test_fixed_steps_between_their_steps(method, system, flow):
    """Linear between two steps, so of second order there at best."""
    bound = {"euler": 0.05}.get(method, 4e-4)
    options = {"step_size": 0.01}
    assert error_against_exact(flow, system, UNEVEN, method=method, options=options) < bound


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("method", [*ADAPTIVE, "scipy_solver"])
def test_adaptive_steps_meet_their_tolerance_between_steps_too(method, system, flow):
    times = torch.linspace(0, 2, 41, dtype=torch.float64).tolist()
    # torchdiffeq's own interpolants are what is asked for, and most of them are coarse
    bound = 1e-4 if method in ("dopri5", "scipy_solver") else 5e-3
    assert error_against_exact(flow, system, times, method=method, rtol=1e-5, atol=1e-7) < bound


@pytest.mark.parametrize("method", ["dopri5", "scipy_solver"])
def test_tolerances_are_used(method, flow):
    errors = [
        error_against_exact(flow, "oscillator", [0, 5.0], method=method, rtol=tol, atol=tol)
        for tol in (1e-3, 1e-6, 1e-9)
    ]
    assert errors[0] > 20 * errors[1] > 400 * errors[2]
    assert errors[2] < 1e-7


def test_times_are_float64_whatever_the_state(flow):
    """At t = 1e6 steps of .1 are lost in float32; the state may stay float32."""
    seen = []

    def stimulus(t):
        assert t.dtype == torch.float64 and t.ndim == 0
        seen.append(float(t))
        return torch.ones(1, 1)

    times = [1e6 + 0.1 * i for i in range(4)]
    solution = nd.integrate(
        flow([[0.0]]), stimulus, times, method="euler", options={"step_size": 0.1}, gradient="none"
    )
    assert solution.states[0].dtype == torch.float32
    assert solution.stats.accepted == 3
    torch.testing.assert_close(solution.states[0][:, 0, 0], torch.tensor([1, 1.1, 1.2, 1.3]))


# ---- fixed steps


def torchdiffeq_takes_one_too_many(n, h):
    return math.ceil(n * h / h + 1) != n + 1


AWKWARD = [n for n in range(1, 301) if torchdiffeq_takes_one_too_many(n, 0.1)]


def test_there_are_27_awkward_lengths():
    assert len(AWKWARD) == 27 and AWKWARD[0] == 6


@pytest.mark.parametrize("n", [*AWKWARD, 1, 10, 100])
def test_steps_are_counted_exactly(n, flow):
    stats = nd.integrate(
        flow(DECAY, step=0.1), torch.zeros(1, 1).double(), [0, n * 0.1], method="euler",
        gradient="none",
    ).stats  # fmt: skip
    assert stats.accepted == stats.evaluations == n
    assert stats.rejected == 0
    assert stats.smallest_step == pytest.approx(0.1) == stats.largest_step


def test_steps_are_the_dynamics_own_or_those_asked_for(coupled):
    def solve(times, **kwargs):
        return nd.integrate(coupled(), rand(2, 3), times, method="rk4", gradient="none", **kwargs)

    own = solve([0, 2.0])
    assert own.stats.accepted == 16 and own.stats.evaluations == 64
    assert own.stats.smallest_step == own.stats.largest_step == 0.125
    assert solve([0, 2.0], options={"step_size": 0.5}).stats.accepted == 4
    uneven = solve([0, 1.1])
    assert uneven.stats.accepted == 9
    assert uneven.stats.smallest_step == pytest.approx(0.1)


@NOT_CONVERGED
@given(
    method=st.sampled_from(FIXED),
    inner=st.lists(st.floats(0.001, 1.999), max_size=8, unique=True),
    on_steps=st.lists(st.integers(1, 15), max_size=4, unique=True),
)
def test_fixed_steps_do_not_depend_on_the_times_asked_for(method, inner, on_steps, coupled):
    def solve(times):
        return nd.integrate(coupled(), rand(2, 3), times, method=method, gradient="none")

    everywhere = solve([i / 8 for i in range(17)])
    times = sorted({0.0, 2.0, *inner, *(i / 8 for i in on_steps)})
    some = solve(times)
    assert some.stats == everywhere.stats
    for few, all_ in zip(some.states, everywhere.states, strict=True):
        for t, y in zip(times, few, strict=True):
            i = min(int(t * 8), 15)
            expected = torch.lerp(all_[i], all_[i + 1], t * 8 - i)
            torch.testing.assert_close(y, expected, rtol=1e-12, atol=1e-14)
        assert torch.equal(few[-1], all_[-1])


@pytest.mark.parametrize("method", MULTISTEP)
def test_adams_is_stable_by_default_and_needs_equal_steps(method, flow):
    x = torch.zeros(1, 1).double()

    def solve(times, **options):
        return nd.integrate(
            flow([[-1.0]], step=0.1).double(), x, times, method=method, gradient="none",
            options=options or None,
        )  # fmt: skip

    assert abs(solve([0, 20.0]).states[0][-1].item()) < 1e-6
    with pytest.raises(ValueError, match="needs equal steps: step_size = 0.3 does not divide"):
        solve([0, 1.0], step_size=0.3)
    solve([0, 0.55, 1.0])  # the record may be uneven: only the steps must be equal


def test_torchdiffeqs_default_adams_order_diverges(flow):
    """The trap that the default avoids; should this fail, it can be lifted."""
    x = torch.zeros(1, 1).double()
    with pytest.raises((AssertionError, nd.SolverError)):
        y = nd.integrate(
            flow([[-1.0]], step=0.1).double(), x, [0, 20.0], method="explicit_adams",
            gradient="none", options={"max_order": 12},
        ).states[0]  # fmt: skip
        assert y[-1].abs() < 1


# ---- adaptive steps: torchdiffeq's own numbers


def largest_rms(state):
    """The default norm, written out: the largest over variables and samples."""
    return max(y.pow(2).flatten(1).mean(1).max().sqrt() for y in state)


class Counted(torch.nn.Module):
    def __init__(self, f):
        super().__init__()
        self.f, self.n = f, 0

    def forward(self, t, y):
        self.n += 1
        return self.f(t, y)


@pytest.mark.parametrize("method", ADAPTIVE)
@pytest.mark.parametrize("many", [2, 33])
def test_adaptive_records_are_torchdiffeqs_with_all_times(method, many, coupled):
    dynamics, x = coupled(), rand(3, 4)
    times = torch.linspace(0, 2, many, dtype=torch.float64)
    settings = {"method": method, "rtol": 1e-4, "atol": 1e-6}
    with torch.no_grad():
        f = Counted(nd.bind(dynamics, x))
        y = torchdiffeq.odeint(
            f, f.f.initial_state(), times, options={"norm": largest_rms}, **settings
        )
    solution = nd.integrate(dynamics, x, times, gradient="none", **settings)
    for got, wanted in zip(solution.states, y, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-12, atol=1e-12)
    ends = nd.integrate(dynamics, x, times[[0, -1]], gradient="none", **settings)
    assert solution.stats == ends.stats
    assert solution.stats.evaluations == f.n


def test_stats_of_adaptive_steps(coupled):
    steps = []

    class Watched(torch.nn.Module):
        def __init__(self, f):
            super().__init__()
            self.f = f

        def forward(self, t, y):
            return self.f(t, y)

        def callback_accept_step(self, t0, y0, dt):
            steps.append(float(dt))

        def callback_reject_step(self, t0, y0, dt):
            steps.append(-float(dt))

    dynamics, x = coupled(), rand(3, 4)
    options = {"first_step": 1.5, "norm": largest_rms}
    with torch.no_grad():
        f = nd.bind(dynamics, x)
        torchdiffeq.odeint(
            Watched(f), f.initial_state(), torch.tensor([0, 3.0]).double(), method="dopri5",
            rtol=1e-4, atol=1e-6, options=options,
        )  # fmt: skip
    accepted = [s for s in steps if s > 0]
    stats = nd.integrate(dynamics, x, [0, 3], options={"first_step": 1.5}).stats
    assert (stats.accepted, stats.rejected) == (len(accepted), len(steps) - len(accepted))
    assert stats.rejected > 0
    assert stats.smallest_step == pytest.approx(min(accepted))
    assert stats.largest_step == pytest.approx(max(accepted))


@pytest.mark.parametrize("option", [{"max_step": 0.05}, {"step_t": [0.3, 0.7, 2.0]}])
def test_options_of_adaptive_methods_reach_torchdiffeq(option, coupled):
    dynamics, x = coupled(), rand(3, 4)
    times = torch.linspace(0, 2, 5, dtype=torch.float64)
    plain = {k: torch.tensor(v, dtype=torch.float64) for k, v in option.items()}
    with torch.no_grad():
        f = nd.bind(dynamics, x)
        y = torchdiffeq.odeint(
            f, f.initial_state(), times, method="dopri5", rtol=1e-4, atol=1e-6,
            options={"norm": largest_rms, **plain},
        )  # fmt: skip
    free = nd.integrate(dynamics, x, times, gradient="none")
    bound = nd.integrate(dynamics, x, times, gradient="none", options=option)
    assert bound.stats.accepted > free.stats.accepted
    for got, wanted in zip(bound.states, y, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.filterwarnings("ignore:The following arguments have no effect")
def test_scipy_takes_its_own_options(flow):
    error = error_against_exact(
        flow, "oscillator", UNEVEN, method="scipy_solver", options={"solver": "DOP853"},
        rtol=1e-10, atol=1e-12,
    )  # fmt: skip
    assert error < 1e-8


# ---- a batch is not a coupling


@NOT_CONVERGED
@given(
    method=st.sampled_from(FIXED), samples=st.integers(2, 6), seed=st.integers(0, 99),
    data=st.data(),
)  # fmt: skip
def test_with_fixed_steps_a_sample_is_the_same_alone(method, samples, seed, data, coupled):
    dynamics, x = coupled(), rand(samples, 3, seed=seed)
    i = data.draw(st.integers(0, samples - 1))

    def solve(x):
        return nd.integrate(dynamics, x, [0, 0.3, 1], method=method, gradient="none")

    together, alone = solve(x), solve(x[i : i + 1])
    for a, b in zip(together.states, alone.states, strict=True):
        torch.testing.assert_close(a[:, i], b[:, 0], rtol=1e-12, atol=1e-13)


class Rates(nd.Dynamics):
    """dy/dt = rate (cos t - y): as stiff as the stimulus says, sample by sample."""

    variables = (nd.Variable("y", ("unit",)),)

    def drive(self, stimulus):
        return {"rate": stimulus}

    def initial_state(self, drive, generator=None):
        return (torch.ones_like(drive["rate"]),)

    def forward(self, t, state, drive):
        return (drive["rate"] * (torch.cos(t) - state[0]),)

    def readout(self, state, drive):
        return state[0]

    def exact(self, rate, t):
        a, b = rate**2 / (rate**2 + 1), rate / (rate**2 + 1)
        return a * torch.cos(t) + b * torch.sin(t) + (1 - a) * torch.exp(-rate * t)


@NOT_CONVERGED
@pytest.mark.parametrize("method", [m for m in FIXED if m not in ("implicit_adams", "fixed_adams")])
def test_with_fixed_steps_a_stiff_sample_does_not_touch_the_others(method):
    """Not so for implicit Adams methods, which iterate until the worst sample has converged."""
    x = torch.tensor([[1.0], [12.0], [0.5]], dtype=torch.float64)

    def solve(x):
        return nd.integrate(
            Rates(), x, [0, 0.5, 2.0], method=method, options={"step_size": 0.1}, gradient="none"
        ).readout

    together = solve(x)
    for i in (0, 2):
        torch.testing.assert_close(together[:, [i]], solve(x[[i]]), rtol=1e-12, atol=1e-13)


def test_a_stiff_sample_is_not_lost_among_easy_ones():
    times = torch.linspace(0, 8, 50, dtype=torch.float64)
    rates = torch.ones(64, 1, dtype=torch.float64)
    rates[17] = 40

    def error(x, **options):
        y = nd.integrate(Rates(), x, times, gradient="none", options=options).readout[
            :, -1 if len(x) == 1 else 17, 0
        ]
        return float((y - Rates().exact(torch.tensor(40.0).double(), times)).abs().max())

    alone = error(rates[17:18])
    assert error(rates) < 2 * alone
    # the trap: torchdiffeq's norm of a tuple is the root mean square over everything
    assert error(rates, norm=lambda state: state[0].pow(2).mean().sqrt()) > 5 * alone


# ---- stimuli that change in time


def test_film_shows_each_frame_from_its_onset_on():
    frames = torch.arange(3.0).view(3, 1, 1)
    film = nd.Film(frames, [0, 1.5, 2])
    shown = [film(torch.tensor(t)).item() for t in (-1.0, 0.0, 1.49, 1.5, 1.99, 2.0, 9.0)]
    assert shown == [0, 0, 0, 1, 1, 2, 2]
    assert nd.Film(frames[:1], [4.0])(torch.tensor(0.0)).item() == 0


@pytest.mark.parametrize(
    ("shape", "onsets", "words"),
    [
        ((2, 3), [0, 1], r"\(frame, sample, ...\).*\(2, 3\)"),
        ((2, 3, 1), [0], "one onset each.*1 onsets"),
        ((2, 3, 1), [1, 1], r"onsets must increase, got \[1.0, 1.0\]"),
        ((2, 3, 1), [1, 0], "must increase"),
    ],
)
def test_a_wrong_film_is_refused(shape, onsets, words):
    with pytest.raises(ValueError, match=words):
        nd.Film(torch.zeros(shape), onsets)


def test_a_film_is_separate_runs_joined(coupled):
    """Also where a switch falls between two steps, and on a time that is recorded.

    Adaptive steps land on a switch, as they do on a time in torchdiffeq's own option `step_t`.
    """
    dynamics, frames, onsets = coupled(), rand(4, 2, 3), [0.0, 0.7, 1.3, 2.0]
    times = [0.0, 0.5, 0.7, 1.0, 1.299, 1.3, 2.0, 2.6]
    for method in (*FIXED[:5], *ADAPTIVE):
        film = nd.integrate(
            dynamics, nd.Film(frames, onsets), times, method=method, gradient="none"
        )
        state = dynamics.initial_state(dynamics.drive(frames[0]))
        evaluations = 0
        for frame, start, stop in zip(frames, onsets, [*onsets[1:], 2.6], strict=True):
            inside = [t for t in times if start <= t < stop or t == stop == 2.6]
            asked = sorted({start, *inside, stop})
            part = nd.integrate(
                dynamics, frame, asked, initial_state=state, method=method, gradient="none",
                options={"step_t": [stop]} if method in ADAPTIVE and stop < 2.6 else None,
            )  # fmt: skip
            for t in inside:
                here, there = times.index(t), asked.index(t)
                torch.testing.assert_close(
                    [y[here] for y in (*film.states, film.readout)],
                    [y[there] for y in (*part.states, part.readout)], rtol=1e-12, atol=1e-14,
                )  # fmt: skip
            state = tuple(y[-1] for y in part.states)
            evaluations += part.stats.evaluations
        assert film.stats.evaluations == evaluations


def test_the_drive_of_a_film_is_computed_once_a_frame(flow):
    shown = []

    class Watched(flow):
        def drive(self, stimulus):
            shown.append(stimulus[0, 0].item())
            return super().drive(stimulus)

    film = nd.Film(torch.arange(3.0).view(3, 1, 1), [0, 1, 2])
    for method in ("euler", "dopri5"):
        nd.integrate(Watched([[-1.0]]), film, [0, 1, 1.5, 2, 3], method=method, gradient="none")
        assert shown == [0, 1, 2]
        shown.clear()


@pytest.mark.parametrize("method", ["euler", "dopri5", "scipy_solver"])
@pytest.mark.parametrize("piecewise_constant", [True, False])
def test_at_a_switch_holds_what_comes_after_it(method, piecewise_constant, flow):
    """The readout shows the stimulus itself, times 10."""

    def stimulus(t):
        return torch.full((1, 1), 1.0 + (t >= 1.0) + (t >= 2.0)).double()

    stimulus.switches = [1.0, 2.0]
    stimulus.piecewise_constant = piecewise_constant
    dynamics = flow(torch.zeros(1, 1).double(), step=0.3)
    times = [0.0, 0.999999, 1.0, 1.5, 2.0, 3.0]
    solution = nd.integrate(dynamics, stimulus, times, method=method, gradient="none")
    shown = (solution.readout - solution.states[0])[:, 0, 0] / 10
    torch.testing.assert_close(shown, torch.tensor([1, 1, 2, 2, 3, 3]).double())
    integral = torch.tensor([0, 0.999999, 1, 2, 3, 6]).double() + 1
    torch.testing.assert_close(solution.states[0][:, 0, 0], integral)


def test_a_switch_at_the_last_time_shows_what_comes_after_it(flow):
    for constant in (True, False):

        def stimulus(t):
            return torch.full((1, 1), 1.0 + (t >= 1.0)).double()

        stimulus.switches = [1.0]
        stimulus.piecewise_constant = constant
        dynamics = flow(torch.zeros(1, 1).double())
        solution = nd.integrate(dynamics, stimulus, [0, 1.0], method="euler", gradient="none")
        assert solution.states[0][-1].item() == 2.0  # driven by what came before
        assert (solution.readout - solution.states[0])[-1].item() == 20


@pytest.mark.parametrize("method", [*ADAPTIVE, "rk4", "scipy_solver"])
def test_a_smooth_stimulus_has_the_exact_solution(method):
    """dy/dt = 3 (cos t - y), the cosine as a stimulus."""

    class Driven(Rates):
        def forward(self, t, state, drive):
            return (3 * (drive["rate"] - state[0]),)

    times = torch.tensor(UNEVEN, dtype=torch.float64)
    solution = nd.integrate(
        Driven(), lambda t: torch.cos(t).expand(2, 1), times, method=method, rtol=1e-6, atol=1e-7,
        initial_state=(torch.ones(2, 1).double(),), gradient="none",
        options={"step_size": 0.005} if method == "rk4" else None,
    )  # fmt: skip
    exact = Rates().exact(torch.tensor(3.0).double(), times)
    assert (solution.states[0][:, 1, 0] - exact).abs().max() < 1e-3
    torch.testing.assert_close(solution.readout, solution.states[0])


class Ramps:
    """A different ramp between any two switches; notes when it is asked."""

    def __init__(self, switches):
        self.switches = switches
        self.asked = []

    def __call__(self, t):
        self.asked.append(float(t))
        piece = sum(float(t) >= s for s in self.switches)
        return (10.0**piece * t).expand(1, 1)


@pytest.mark.parametrize("method", [*ADAPTIVE, "euler", "rk4", "midpoint", "heun2", "scipy_solver"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_step_looks_beyond_a_switch(method, dtype, flow):
    """The run is exact at each switch because every piece sees its own ramp only."""
    switches = [0.55, 1.3]
    ramps = Ramps(switches)

    class Typed(flow):
        def drive(self, stimulus):
            return {"input": stimulus.to(dtype)}

    solution = nd.integrate(
        Typed(torch.zeros(1, 1, dtype=dtype), step=0.1), ramps, [0, 0.55, 1.3, 2.0],
        method=method, gradient="none",
    )  # fmt: skip
    order, edges = [0], [0, *switches, math.inf]
    for t in ramps.asked[1:]:
        order += [i for i in range(3) if edges[i] <= t < edges[i + 1]]
    assert order == sorted(order), "a piece is only looked at while it lasts"
    if method in ("rk4", "midpoint", "heun2"):  # they integrate a ramp exactly
        pieces = [(0, 0.55, 1), (0.55, 1.3, 10), (1.3, 2.0, 100)]
        exact = 1 + torch.tensor([s * (b**2 - a**2) / 2 for a, b, s in pieces]).cumsum(0)
        torch.testing.assert_close(
            solution.states[0][1:, 0, 0], exact.to(dtype), rtol=1e-5, atol=1e-5
        )


def test_a_switch_costs_no_accuracy(flow):
    """Up to a switch, a run is as exact as one that goes on smoothly."""
    dynamics, worst = flow(torch.tensor([[-0.5]]).double()), {True: 0.0, False: 0.0}
    for switch in (0.5, 0.85, 1.2, 1.4, 1.7):
        for switches in (True, False):

            def stimulus(t):
                return torch.cos(3 * t).expand(1, 1)

            if switches:
                stimulus.switches = [switch]
            y = nd.integrate(dynamics, stimulus, [0, switch, 2.0], gradient="none").states[0]
            # y' = -y/2 + cos 3t from 1
            t = torch.tensor([0, switch, 2.0]).double()
            particular = (0.5 * torch.cos(3 * t) + 3 * torch.sin(3 * t)) / 9.25
            exact = particular + (1 - 0.5 / 9.25) * torch.exp(-t / 2)
            worst[switches] = max(worst[switches], float((y[1, 0, 0] - exact[1]).abs()))
    assert worst[True] < 2 * worst[False]


@pytest.mark.parametrize("switches", [[2.0], [2.05], [1.0, 2.0], [1.0, 2.05]])
@pytest.mark.parametrize("method", ["dopri5", "bosh3"])
def test_no_step_looks_beyond_a_switch_at_or_after_the_end(switches, method, flow):
    """An adaptive step may reach beyond the last time, but not over a switch."""
    ramps = Ramps(switches)
    nd.integrate(
        flow([[0.0]]).double(), ramps, [0, 2.0], method=method, gradient="none",
        options={"first_step": 0.7},
    )  # fmt: skip
    steps = [t for t in ramps.asked if t >= switches[-1]]
    assert set(steps) <= {2.0}, "2.0 itself is the last readout"


def test_switches_outside_the_run_change_nothing(coupled):
    frames = rand(3, 2, 3)
    inside = nd.integrate(coupled(), frames[1], [1, 2.0], gradient="none")
    film = nd.integrate(coupled(), nd.Film(frames, [-3, 1, 5]), [1, 2.0], gradient="none")
    assert torch.equal(film.readout, inside.readout)
    assert film.stats == inside.stats


def test_a_run_may_start_anywhere(flow):
    exact = torch.exp(-0.9 * torch.tensor([0, 0.5, 2.0]).double())
    solution = nd.integrate(
        flow(DECAY), torch.zeros(1, 1).double(), [-3, -2.5, -1.0], rtol=1e-9, atol=1e-9
    )
    torch.testing.assert_close(solution.states[0][:, 0, 0].detach(), exact, rtol=1e-7, atol=0)


# ---- initial states


def test_the_initial_state_can_be_given(coupled):
    dynamics, x = coupled(), rand(2, 3)
    first = nd.integrate(dynamics, x, [0, 0.5, 1.0], method="rk4", gradient="none")
    middle = tuple(y[1] for y in first.states)
    second = nd.integrate(
        dynamics, x, [0.5, 1.0], initial_state=middle, method="rk4", gradient="none"
    )
    for a, b in zip(first.states, second.states, strict=True):
        torch.testing.assert_close(a[-1], b[-1], rtol=1e-12, atol=0)


@pytest.mark.parametrize("method", ["euler", "dopri5", "scipy_solver"])
def test_given_tensors_are_not_changed(method, coupled):
    dynamics, x = coupled(), rand(2, 3)
    state = dynamics.initial_state(dynamics.drive(x))
    state = tuple(y.detach().clone() for y in state)
    before = [y.clone() for y in (x, *state)]
    solution = nd.integrate(
        dynamics, x, [0, 1.0], initial_state=state, method=method, gradient="none"
    )
    for y in (*solution.states, solution.readout):
        y.zero_()
    assert all(torch.equal(a, b) for a, b in zip((x, *state), before, strict=True))


def test_the_generator_reaches_the_initial_state(flow):
    class Random(flow):
        def initial_state(self, drive, generator=None):
            return (torch.randn(drive["input"].shape, generator=generator),)

    def start(seed):
        generator = torch.Generator().manual_seed(seed)
        solution = nd.integrate(Random([[-1.0]]), torch.zeros(2, 1), [0, 1], generator=generator)
        return solution.states[0][0]

    assert torch.equal(start(1), start(1)) and not torch.equal(start(1), start(2))


@pytest.mark.parametrize(
    ("state", "error", "words"),
    [
        ([torch.ones(2, 3)], ValueError, "must be a tuple of 2 tensors, one for each of v, m; got"),
        ((torch.ones(2, 3),), ValueError, "got tuple of length 1"),
        ((torch.ones(2, 3), torch.ones(1, 3, 2, 3)), ValueError, r"v \(2, 3\).*m \(1, 3, 2, 3\)"),
        ((torch.ones(2, 3), torch.ones(2, 3, 2, 3).double()), ValueError, "agree in .* dtype"),
        ((torch.ones(2, 3).int(), torch.ones(2, 3, 2, 3).int()), TypeError, "floating point"),
    ],
)
def test_a_wrong_initial_state_is_refused(state, error, words, coupled):
    with pytest.raises(error, match=words):
        nd.integrate(coupled(), rand(2, 3), [0, 1], initial_state=state)


# ---- times


@pytest.mark.parametrize(
    ("times", "error", "words"),
    [
        ([0.0], ValueError, r"a start and at least one more; got \[0.0\]"),
        ([0.0, 0.0], ValueError, r"increasing.*got \[0.0, 0.0\]"),
        ([1.0, 0.0], ValueError, "increasing"),
        ([0.0, math.nan], ValueError, "finite"),
        ([0.0, math.inf], ValueError, "finite"),
        (torch.zeros(2, 2), ValueError, r"got shape \(2, 2\)"),
        (3.0, ValueError, "one-dimensional"),
        ("soon", TypeError, "times must be numbers, got 'soon'"),
    ],
)
def test_wrong_times_are_refused(times, error, words, coupled):
    for door in (nd.integrate, nd.simulate):
        with pytest.raises(error, match=words):
            door(coupled(), rand(2, 3), times)


@pytest.mark.parametrize("times", [range(3), [0, 1, 2], torch.arange(3), torch.arange(3.0)])
def test_times_may_be_any_numbers(times, coupled):
    solution = nd.integrate(coupled(), rand(2, 3), times, method="euler", gradient="none")
    assert solution.times.tolist() == [0.0, 1.0, 2.0]


# ---- what is kept


def energy(t, state):
    assert isinstance(t, Tensor) and t.dtype == torch.float64
    return sum(y.flatten(1).pow(2).sum(1) for y in state) * t


@pytest.mark.parametrize("gradient", ["none", "backprop", "checkpoint", "adjoint"])
@pytest.mark.parametrize("method", ["euler", "dopri5"])
def test_only_what_is_named_is_kept(gradient, method, coupled):
    dynamics, x = coupled(), rand(2, 3)

    def solve(record=None):
        return nd.integrate(
            dynamics, x, [0, 0.4, 1], method=method, gradient=gradient, record=record
        )

    full = solve()
    assert [tuple(y.shape) for y in full.states] == [(3, 2, 3), (3, 2, 3, 2, 3)]
    assert full.readout.shape == (3, 2, 3) and full.observed == {}
    only = solve("readout")
    assert only.states == () and torch.equal(only.readout, full.readout)
    only = solve(["m"])
    assert only.readout is None and len(only.states) == 1
    assert torch.equal(only.states[0], full.states[1])
    both = solve(["readout", "m", "v"])  # states come in the order of the variables
    assert all(torch.equal(a, b) for a, b in zip(both.states, full.states, strict=True))
    seen = solve([energy, "v"])
    expected = torch.stack(
        [energy(t, tuple(y[i] for y in full.states)) for i, t in enumerate(full.times)]
    )
    torch.testing.assert_close(seen.observed["energy"], expected)
    assert torch.equal(seen.states[0], full.states[0]) and seen.readout is None
    assert solve(energy).observed.keys() == {"energy"}


def test_a_name_that_is_not_there_lists_near_ones(flow):
    class Named(flow):
        variables = (nd.Variable("layer1", ("unit",)),)

    def record(what):
        return nd.integrate(Named(DECAY), torch.zeros(1, 1).double(), [0, 1], record=what)

    with pytest.raises(ValueError, match=r"cannot record 'layr1'; did you mean layer1\?"):
        record("layr1")
    with pytest.raises(ValueError, match="It can be one of layer1, readout, or a function"):
        record(["readout", "zzz"])
    with pytest.raises(ValueError, match="needs a __name__ of its own, not None"):
        record(type("Nameless", (), {"__call__": lambda self, t, y: y[0]})())

    def layer1(t, state):
        return state[0]

    def once(t, state):
        return state[0]

    twice = type(once)(once.__code__, {}, "once")
    with pytest.raises(ValueError, match="a __name__ of its own, not 'layer1'; taken: layer1, re"):
        record(layer1)
    with pytest.raises(ValueError, match="not 'once'"):
        record([once, twice])


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        (lambda y: y.sum(), r"'wrong' must return a tensor with samples first \(2, .*got \(\)"),
        (lambda y: y.sum(0), r"got \(3,\)"),
        (lambda y: 1.0, "got float"),
    ],
)
def test_a_function_must_return_one_row_per_sample(returned, words, coupled):
    def wrong(t, state):
        return returned(state[0])

    with pytest.raises(TypeError, match=words):
        nd.integrate(coupled(), rand(2, 3), [0, 1], record=wrong)


def test_on_time_follows_the_run(coupled):
    for method in ("euler", "dopri5"):
        reached = []
        nd.integrate(coupled(), rand(2, 3), [1, 2.0, 3], method=method, on_time=reached.append)
        assert reached == sorted(reached) and reached[-1] == 3.0
        assert len(reached) > 5 and all(1 <= t <= 3 for t in reached)


# ---- what does not fit


def test_states_and_readouts_have_the_axes_they_declare(flow):
    dynamics = flow(OSCILLATOR)
    y = rand(3, 2)
    dynamics.variables = (nd.Variable("y", ("y", "x")),)
    with pytest.raises(ValueError, match=r"'y' has the axes sample, y, x, .* shape \(3, 2\)"):
        nd.integrate(dynamics, 0 * y, [0, 1])
    dynamics.variables = (nd.Variable("y", ("unit",)),)
    dynamics.readout_variable = nd.Variable("logits", ())
    with pytest.raises(ValueError, match=r"readout has the axes sample, .* shape \(3, 2\)"):
        nd.integrate(dynamics, 0 * y, [0, 1])
    nd.integrate(dynamics, 0 * y, [0, 1], record="y")


def test_tolerances_beyond_the_precision_are_said_to_be_so(flow):
    fine = {"rtol": 1e-9, "atol": 1e-9}
    with pytest.warns(UserWarning, match="finer than torch.float32 resolves.*double"):
        nd.integrate(flow(DECAY.float()), torch.zeros(1, 1), [0, 1e-3], **fine)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nd.integrate(flow(DECAY), torch.zeros(1, 1).double(), [0, 1], **fine)
        nd.integrate(flow(DECAY.float()), torch.zeros(1, 1), [0, 1], rtol=0, atol=1e-4)


def test_switches_are_times(flow):
    def stimulus(t):
        return torch.zeros(1, 1).double()

    for wrong in (1.0, ["on"], [math.nan]):
        stimulus.switches = wrong
        with pytest.raises((TypeError, ValueError), match="switches must be"):
            nd.integrate(flow(DECAY), stimulus, [0, 1])


# ---- large states


@pytest.mark.parametrize("method", FIXED)
@NOT_CONVERGED
def test_a_large_state_takes_the_same_steps(method, coupled, monkeypatch):
    """What is called large is stepped by one call of torchdiffeq each: the same numbers."""
    dynamics, x = coupled(), rand(2, 3)
    times = [0.0, 0.3, 0.5, 1.0, 1.1, 1.5]

    def solve(gradient):
        return nd.integrate(dynamics, x, times, method=method, gradient=gradient)

    small = solve("none")
    monkeypatch.setattr("neurodyn.steps.LARGE", 0)
    large = solve("none")
    assert small.stats == large.stats and large.stats.accepted == 12
    assert torch.equal(small.readout, large.readout)
    assert all(torch.equal(a, b) for a, b in zip(small.states, large.states, strict=True))
    one_step = [] if method in MULTISTEP else ["checkpoint"]
    for gradient in ("backprop", *one_step):
        assert torch.equal(solve(gradient).readout, small.readout)


def test_a_large_state_frees_what_a_step_leaves_behind(monkeypatch):
    """While f is evaluated, only the state, torchdiffeq's own first state and f are there."""
    monkeypatch.setattr("neurodyn.steps.LARGE", 0)
    size = 12_345
    alive = []

    class Decay(nd.Dynamics):
        variables = (nd.Variable("y", ("unit",)),)

        def drive(self, stimulus):
            return {"input": stimulus[:, :1]}

        def initial_state(self, drive, generator=None):
            return (torch.ones(1, size),)

        def forward(self, t, state, drive):
            gc.collect()
            held = [x for x in gc.get_objects() if type(x) is Tensor]
            storages = {x.untyped_storage().data_ptr(): x.untyped_storage().nbytes() for x in held}
            ours = [n for n in storages.values() if n in (4 * size, 8 * size)]  # not other tests'
            alive.append(sum(ours) // (4 * size))
            return (-state[0],)

        def readout(self, state, drive):
            return state[0][:, :1]

    nd.integrate(
        Decay(), torch.zeros(1, 1), [0.0, 5.0], method="euler", gradient="none", record="readout"
    )
    assert len(alive) == 5 and max(alive) <= 3  # the state, and the buffer of two results


# ---- two runs at once


def test_a_run_inside_a_run_disturbs_neither(coupled):
    dynamics, x, other = coupled(), rand(2, 3), rand(5, 3, seed=1)

    def solve(x, record=None):
        return nd.integrate(dynamics, x, [0, 0.5, 1.0], gradient="none", record=record)

    inside = []

    def nested(t, state):
        inside.append(solve(other).readout)
        return state[0]

    outer = solve(x, ["readout", nested])
    assert torch.equal(outer.readout, solve(x).readout)
    assert len(inside) == 3
    assert all(torch.equal(y, solve(other).readout) for y in inside)


def test_inference_mode(coupled):
    dynamics, x = coupled(), rand(2, 3)
    wanted = nd.integrate(dynamics, x, [0, 0.5, 1.0], gradient="none").readout
    for method in ("dopri5", "euler"):
        wanted = nd.integrate(dynamics, x, [0, 0.5, 1.0], method=method, gradient="none").readout
        with torch.inference_mode():
            for gradient in ("backprop", "checkpoint", "none"):
                got = nd.integrate(dynamics, x, [0, 0.5, 1.0], method=method, gradient=gradient)
                assert got.readout.is_inference() and torch.equal(got.readout, wanted)


class Burst(nd.Dynamics):
    """dy/dt = y^2 reaches infinity at t = 1; z rests."""

    variables = (nd.Variable("z", ("unit",)), nd.Variable("y", ("unit",)))

    def drive(self, stimulus):
        return {"input": stimulus}

    def initial_state(self, drive, generator=None):
        return torch.zeros_like(drive["input"]), drive["input"].clone()

    def forward(self, t, state, drive):
        return torch.zeros_like(state[0]), state[1] ** 2

    def readout(self, state, drive):
        return state[1]


def test_a_step_that_underflows_names_the_variable_and_the_samples():
    x = torch.tensor([[1.0], [0.1], [1.0]], dtype=torch.float64)
    with pytest.raises(nd.SolverError, match=r"y in 2 of 3 samples") as caught:
        nd.integrate(Burst(), x, [0.0, 2.0], gradient="none")
    assert set(caught.value.variables) == {"y"}


def test_tolerances_of_zero_are_refused():
    with pytest.raises(ValueError, match="both be 0"):
        nd.integrate(Burst(), torch.ones(1, 1), [0.0, 0.1], rtol=0.0, atol=0.0)


@pytest.mark.parametrize("dims", [("time",), ("unit", "sample")])
def test_a_variable_does_not_name_time_and_sample(dims):
    with pytest.raises(ValueError, match="without being named"):
        nd.Variable("y", dims)


class Switched(nd.Dynamics):
    """dy/dt = [t >= 1]: the equation changes at t = 1."""

    variables = (nd.Variable("y", ("unit",)),)
    switches = (1.0,)

    def __init__(self):
        super().__init__()
        self.gain = torch.nn.Parameter(torch.ones(()))

    def drive(self, stimulus):
        return {"input": stimulus}

    def initial_state(self, drive, generator=None):
        return (torch.zeros_like(drive["input"]),)

    def forward(self, t, state, drive):
        return (self.gain.to(state[0]) * (t >= 1).to(state[0]) + 0 * state[0],)

    def readout(self, state, drive):
        return state[0]


@pytest.mark.parametrize("gradient", ["none", "backprop", "checkpoint", "adjoint"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("method", ["euler", "rk4", "dopri5", "bosh3", "implicit_adams"])
def test_a_dynamics_that_changes_at_a_switch_does_so_there_and_not_before(method, dtype, gradient):
    if method == "implicit_adams" and gradient in ("checkpoint", "adjoint"):
        pytest.skip("refused")
    options = {"step_size": 0.25} if method in ("euler", "rk4", "implicit_adams") else None
    run = nd.integrate(
        Switched(), torch.zeros(1, 1, dtype=dtype), [0.0, 1.0, 2.0], method=method,
        options=options, gradient=gradient,
    )  # fmt: skip
    assert torch.allclose(run.readout.flatten(), torch.tensor([0.0, 0, 1], dtype=dtype), atol=1e-6)
