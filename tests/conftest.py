"""Small dynamics with known solutions, for every test that needs one."""

import importlib.util
import warnings

import hypothesis
import pytest
import safetensors.torch
import torch
from torch import nn

import neurodyn as nd
from neurodyn.models import pc_shallow
from neurodyn.models.feedback_nets import stem

torch.set_num_threads(1)
torch.set_warn_always(True)  # else a warning that one test meets hides it from the others
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


class Residual(nn.Module):
    """A stem, two residual blocks (the skip of each crosses its inner tap) and a head."""

    class Block(nn.Module):
        def __init__(self, channels, inplace):
            super().__init__()
            self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
            self.act1 = nn.ReLU(inplace)
            self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
            self.norm2 = nn.BatchNorm2d(channels)
            self.inplace = inplace

        def forward(self, x):
            out = self.norm2(self.conv2(self.act1(self.conv1(x))))
            if self.inplace:
                out += x
                return nn.functional.relu_(out)
            return nn.functional.relu(out + x)

    def __init__(self, inplace=False):
        super().__init__()
        self.inplace = inplace
        self.stem = nn.Conv2d(2, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.pool = nn.MaxPool2d(2)
        self.layer1 = self.Block(4, inplace)
        self.down = nn.Conv2d(4, 6, 2, stride=2)
        self.layer2 = self.Block(6, inplace)
        self.head = nn.Linear(6, 5)

    def forward(self, x):
        x = self.norm(self.stem(x))
        x = self.pool(nn.functional.relu_(x) if self.inplace else nn.functional.relu(x))
        x = self.layer2(self.down(self.layer1(x)))
        return self.head(x.mean((2, 3)))


class LongSkip(nn.Module):
    """What lies below the first tap is used again above the last, and one module is shared."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(2, 4, 3, padding=1)
        self.act = nn.Tanh()
        self.one = nn.Conv2d(4, 4, 3, padding=1)
        self.two = nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Linear(4, 5)

    def forward(self, x):
        below = self.act(self.act(self.stem(x)))
        above = self.act(self.two(self.act(self.one(below))))
        return self.head((above + below).mean((2, 3)))


class Tokens(nn.Module):
    """A small vision transformer: patches, positions, attention, token-wise layers."""

    class Block(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.attention = nn.MultiheadAttention(width, 2, batch_first=True)
            self.mlp = nn.Sequential(nn.Linear(width, 9), nn.GELU(), nn.Linear(9, width))

        def forward(self, x):
            y = self.norm1(x)
            x = x + self.attention(y, y, y, need_weights=False)[0]
            return x + self.mlp(self.norm2(x))

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(2, 6, 4, stride=4)
        self.position = nn.Parameter(torch.randn(1, 5, 6))
        self.token = nn.Parameter(torch.randn(1, 1, 6))
        self.blocks = nn.Sequential(*(self.Block(6) for _ in range(3)))
        self.norm = nn.LayerNorm(6)
        self.head = nn.Linear(6, 5)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.position
        return self.head(self.norm(self.blocks(x))[:, 0])


def stack():
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3, padding=1),
        nn.ReLU(), nn.Flatten(), nn.Linear(96, 7), nn.Tanh(), nn.Linear(7, 5),
    )  # fmt: skip


def dense():
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 7), nn.Tanh(), nn.Linear(7, 5))


IMAGE = (2, 8, 8)
NETWORKS = {
    "stack": (stack, ["1", "4"], IMAGE),
    "conv to dense": (stack, ["1", "4", "7"], IMAGE),
    "dense": (dense, ["1", "3"], (6,)),
    "one tap": (dense, ["3"], (6,)),
    "first and last": (dense, ["0", "4"], (6,)),
    "residual, taps on blocks": (Residual, ["layer1", "layer2"], IMAGE),
    "residual, a skip crosses taps": (Residual, ["layer1.act1", "layer2.norm2"], IMAGE),
    "residual, in place": (lambda: Residual(True), ["pool", "layer1.norm2", "layer2.act1"], IMAGE),
    "residual, in place on blocks": (lambda: Residual(True), ["layer1", "layer2"], IMAGE),
    "in place below": (lambda: Residual(True), ["norm", "layer1.conv1", "layer2"], IMAGE),
    "long skip, shared module": (LongSkip, ["one", "two"], IMAGE),
    "tokens": (Tokens, ["blocks.0", "blocks.2"], IMAGE),
    "tokens, inside": (Tokens, ["patches", "blocks.0.mlp", "blocks.1"], IMAGE),
    "a tap inside a tap": (Tokens, ["blocks.0.mlp", "blocks.0", "blocks.2"], IMAGE),
}


@pytest.fixture(scope="session", params=NETWORKS)
def made_network(request):
    """Every kind of network in turn: a function that makes it, its taps and its stimulus."""
    make, taps, shape = NETWORKS[request.param]

    def network(seed=0, samples=3, dtype=torch.float32):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            made = make().to(dtype).eval()
            for module in made.modules():  # statistics of a trained network
                if isinstance(module, nn.BatchNorm2d):
                    module.running_mean.normal_()
                    module.running_var.uniform_(0.5, 2)
            return made, list(taps), torch.rand(samples, *shape, dtype=dtype)

    return network


@pytest.fixture(scope="session")
def flow():
    return Flow


@pytest.fixture(scope="session")
def coupled():
    return Coupled


@pytest.fixture(scope="session")
def breaking():
    return Breaking


@pytest.fixture(scope="module")
def feedback_weights(tmp_path_factory):
    """A folder with the weights of "pshallow-digits" from the training seeds 0 and 1."""
    folder = tmp_path_factory.mktemp("weights")
    for seed in (0, 1):
        state = {name: value.half() for name, value in pc_shallow(True).state_dict().items()}
        state["backbone.layer3.1.bias"] += seed  # two networks
        name = stem("pshallow", "digits", seed)
        safetensors.torch.save_file(state, folder / f"{name}.safetensors")
    return folder


@pytest.fixture(scope="session")
def torchvision_models():
    """torchvision's networks, where it is installed."""
    if importlib.util.find_spec("torchvision") is None:
        pytest.skip("torchvision is not installed")
    lacking = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            from torchvision import models
        except RuntimeError:  # built for GPUs, beside a torch without: two of its operators lack
            lacking = torch.library.Library("torchvision", "DEF")
            for name in ("nms", "qnms"):
                lacking.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            from torchvision import models
    yield models
    del lacking  # which had to live until here
