"""Small dynamics with known solutions, for every test that needs one."""

import hypothesis
import pytest
import torch
from torch import nn

import neurodyn as nd

torch.set_num_threads(1)
hypothesis.settings.register_profile(
    "neurodyn", deadline=None, max_examples=12, derandomize=True, database=None
)
hypothesis.settings.load_profile("neurodyn")


class Flow(nd.Dynamics):
    """dy/dt = A y + s(t); the state starts at one."""

    variables = (nd.Variable("y", ("unit",)),)

    def __init__(self, matrix, step=1.0):
        super().__init__()
        self.matrix = nn.Parameter(torch.as_tensor(matrix))
        self.step = step

    def drive(self, stimulus):
        return {"input": stimulus}

    def initial_state(self, drive, generator=None):
        return (torch.ones_like(drive["input"]),)

    def forward(self, t, state, drive):
        return (state[0] @ self.matrix.T + drive["input"],)

    def readout(self, state, drive):
        return state[0] + 10 * drive["input"]

    def exact(self, y0, t):
        """Return y(t) where the stimulus is zero, (time, sample, unit)."""
        t = torch.as_tensor(t, dtype=torch.float64)
        flows = torch.linalg.matrix_exp(t[:, None, None] * self.matrix.detach())
        return torch.einsum("tij,sj->tsi", flows, y0)


class Coupled(nd.Dynamics):
    """A vector and a map that drive each other; k acts in the drive, the field and the readout."""

    variables = (nd.Variable("v", ("unit",)), nd.Variable("m", ("channel", "y", "x")))
    step = 0.125

    def __init__(self, k=1.3, dtype=torch.float64):
        super().__init__()
        self.k = nn.Parameter(torch.tensor(k, dtype=dtype))

    def drive(self, stimulus):
        return {"input": stimulus * self.k}

    def initial_state(self, drive, generator=None):
        ramp = torch.arange(1.0, 7, dtype=drive["input"].dtype).view(1, 1, 2, 3)
        return drive["input"].clone(), drive["input"][:, :, None, None] * ramp

    def forward(self, t, state, drive):
        v, m = state
        dv = -self.k * v + drive["input"] * torch.sin(t) + m.mean((2, 3))
        return dv, -m * self.k + v[:, :, None, None] * torch.cos(m)

    def readout(self, state, drive):
        return state[1].sum((2, 3)) * self.k + drive["input"]


class Breaking(nd.Dynamics):
    """Two decays; from time `at` on, the derivative of "b" is `value` where the stimulus is 1.

    "a" catches it from the state of "b", a step later.
    """

    variables = (nd.Variable("a", ("unit",)), nd.Variable("b", ("unit",)))

    def __init__(self, at, step=0.1, value=torch.nan):
        super().__init__()
        self.at, self.step, self.value = at, step, value

    def drive(self, stimulus):
        return {"breaks": stimulus == 1}

    def initial_state(self, drive, generator=None):
        y = torch.ones_like(drive["breaks"], dtype=torch.float64)
        return y, y

    def forward(self, t, state, drive):
        broken = torch.where(drive["breaks"] & (t >= self.at), self.value, -state[1])
        return -state[0] + 0 * state[1], broken

    def readout(self, state, drive):
        return state[0] + state[1]


@pytest.fixture(scope="session")
def flow():
    return Flow


@pytest.fixture(scope="session")
def coupled():
    return Coupled


@pytest.fixture(scope="session")
def breaking():
    return Breaking
