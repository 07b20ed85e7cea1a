"""ResNets: torchvision's names, sizes and outputs, and the same network written as functions."""


import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import nn

from neurodyn.models.resnet import resnet18, resnet50

NETWORKS = {"resnet18": (resnet18, (2, 2, 2, 2), False), "resnet50": (resnet50, (3, 4, 6, 3), True)}


def norm(name, width):
    yield f"{name}.weight", (width,)
    yield f"{name}.bias", (width,)
    yield f"{name}.running_mean", (width,)
    yield f"{name}.running_var", (width,)
    yield f"{name}.num_batches_tracked", ()


def names_and_shapes(depths, bottleneck, classes=1000, stem=7):
    """What torchvision's state dict lists, in its order."""
    yield "conv1.weight", (64, 3, stem, stem)
    yield from norm("bn1", 64)
    below = 64
    for stage, depth in enumerate(depths, 1):
        width = 32 * 2**stage
        above = 4 * width if bottleneck else width
        sizes = [(width, 1), (width, 3), (above, 1)] if bottleneck else [(width, 3), (width, 3)]
        for i in range(depth):
            block, channels = f"layer{stage}.{i}", below
            for n, (out, kernel) in enumerate(sizes, 1):
                yield f"{block}.conv{n}.weight", (out, channels, kernel, kernel)
                yield from norm(f"{block}.bn{n}", out)
                channels = out
            if i == 0 and (stage > 1 or below != above):
                yield f"{block}.downsample.0.weight", (above, below, 1, 1)
                yield from norm(f"{block}.downsample.1", above)
            below = above
    yield "fc.weight", (classes, below)
    yield "fc.bias", (classes,)


def as_functions(state, depths, bottleneck, x, small):
    """The network as functions of a state dict."""

    def bn(name, x):
        keys = ("running_mean", "running_var", "weight", "bias")
        return F.batch_norm(x, *(state[f"{name}.{key}"] for key in keys))

    def conv(name, x, stride=1):
        weight = state[f"{name}.weight"]
        return F.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)

    x = F.relu(bn("bn1", conv("conv1", x, 1 if small else 2)))
    x = x if small else F.max_pool2d(x, 3, 2, 1)
    for stage, depth in enumerate(depths, 1):
        for i in range(depth):
            name, stride = f"layer{stage}.{i}", 2 if i == 0 and stage > 1 else 1
            y = x
            for n in range(1, 4 if bottleneck else 3):
                strided = n == (2 if bottleneck else 1)
                y = bn(f"{name}.bn{n}", conv(f"{name}.conv{n}", y, stride if strided else 1))
                y = F.relu(y) if f"{name}.conv{n + 1}.weight" in state else y
            if f"{name}.downsample.0.weight" in state:
                x = bn(f"{name}.downsample.1", conv(f"{name}.downsample.0", x, stride))
            x = F.relu(x + y)
    return F.linear(F.adaptive_avg_pool2d(x, 1).flatten(1), state["fc.weight"], state["fc.bias"])


def experienced(network, seed=0):
    """Statistics and scales as of a trained network."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
            nn.init.uniform_(module.weight, 0.5, 1.5, generator=generator)
            nn.init.normal_(module.bias, generator=generator)
    return network


@pytest.mark.parametrize("kind", NETWORKS)
def test_names_shapes_and_numbers(kind):
    make, depths, bottleneck = NETWORKS[kind]
    for kwargs, stem in (({}, 7), ({"small_input": True, "classes": 100}, 3)):
        network = make(**kwargs)
        wanted = list(names_and_shapes(depths, bottleneck, kwargs.get("classes", 1000), stem))
        assert [(k, tuple(v.shape)) for k, v in network.state_dict().items()] == wanted
    number = sum(p.numel() for p in make().parameters())
    assert number == {"resnet18": 11_689_512, "resnet50": 25_557_032}[kind]


@pytest.mark.parametrize("small", [False, True])
@pytest.mark.parametrize("kind", NETWORKS)
@torch.no_grad()
def test_outputs_are_those_of_the_functions(kind, small):
    make, depths, bottleneck = NETWORKS[kind]
    network = experienced(make(classes=7, small_input=small))
    x = 10 * torch.randn(2, 3, 40, 33, generator=torch.Generator().manual_seed(0))
    wanted = as_functions(network.state_dict(), depths, bottleneck, x, small)
    got = network(x)
    assert (got - wanted).abs().max() < 1e-5 * wanted.abs().max()
    assert (got[0] - got[1]).abs().max() > 1e-3 * wanted.abs().max()


@pytest.mark.parametrize("kind", NETWORKS)
@torch.no_grad()
def test_every_rectifier_and_block_is_called_once(kind):
    make, depths, bottleneck = NETWORKS[kind]
    network = make(classes=3, small_input=True)
    assert network.blocks() == [f"layer{s}.{i}" for s, d in enumerate(depths, 1) for i in range(d)]
    calls = {}

    def count(name):
        return lambda module, args, out: calls.update({name: calls.get(name, 0) + 1})

    names = [n for n, m in network.named_modules() if isinstance(m, nn.ReLU)] + network.blocks()
    assert len(names) == 1 + sum(depths) * (4 if bottleneck else 3)
    for name in names:
        network.get_submodule(name).register_forward_hook(count(name))
    network(torch.zeros(1, 3, 8, 8))
    assert calls == dict.fromkeys(names, 1)


def test_initial_values_come_from_the_seed_alone():
    before = torch.random.get_rng_state()
    network, again, other = resnet18(seed=3), resnet18(seed=3), resnet18(seed=4)
    assert torch.equal(torch.random.get_rng_state(), before)
    same = [
        torch.equal(a, b) for a, b in zip(network.parameters(), again.parameters(), strict=True)
    ]
    assert all(same) and not torch.equal(network.conv1.weight, other.conv1.weight)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):  # He's: variance 2 / fan out
            fan_out = module.out_channels * module.kernel_size[0] ** 2
            deviation, mean = torch.std_mean(module.weight.detach())
            assert float(deviation) == pytest.approx((2 / fan_out) ** 0.5, rel=0.05)
            assert abs(float(mean)) < 0.05 * float(deviation)
        elif isinstance(module, nn.BatchNorm2d):
            values = (module.weight, module.bias, module.running_mean, module.running_var)
            for value, wanted in zip(values, (1, 0, 0, 1), strict=True):
                assert bool((value == wanted).all())
    assert float(network.fc.weight.detach().abs().max()) == pytest.approx(512**-0.5, rel=1e-3)
    assert not network.training


@pytest.mark.parametrize("ending", ["pth", "safetensors"])
def test_weights_load_from_a_file(tmp_path, ending):
    network = experienced(resnet18(classes=10, seed=1))
    state, path = network.state_dict(), tmp_path / f"weights.{ending}"
    save(state, path)
    loaded = resnet18(10, path).state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in state.items())
    old = {k: v.half() for k, v in state.items() if not k.endswith("num_batches_tracked")}
    save(old, path)  # older files have no counters; half precision is read as single
    loaded = resnet18(10, path).state_dict()
    assert all(torch.equal(loaded[name], value.float()) for name, value in old.items())


def save(state, path):
    if path.suffix == ".safetensors":
        safetensors.torch.save_file(state, path)
    else:
        torch.save(state, path)


def test_other_weights_are_refused(tmp_path):
    path = tmp_path / "weights.pth"
    save(resnet18(classes=10).state_dict(), path)
    with pytest.raises(ValueError, match=r"2 of another shape \(fc.weight is \(10, 512\), here"):
        resnet18(weights=path)
    with pytest.raises(ValueError, match=r"conv1.weight is \(64, 3, 7, 7\), here \(64, 3, 3, 3\)"):
        resnet18(10, path, small_input=True)
    state = resnet18(classes=10).state_dict()
    save({"module." + k: v for k, v in state.items()}, path)
    with pytest.raises(ValueError, match=r"missing \(conv1.weight, .*unexpected \(module.conv1"):
        resnet18(10, path)
    save({"state_dict": state}, path)
    with pytest.raises(ValueError, match="does not hold a state dict"):
        resnet18(10, path)
    with pytest.raises(FileNotFoundError):
        resnet18(10, tmp_path / "none.pth")
    with pytest.raises(ValueError, match="must be 1 or more"):
        resnet18(0)


@pytest.mark.parametrize("kind", NETWORKS)
@torch.no_grad()
def test_torchvisions_weights_give_torchvisions_outputs(torchvision_models, kind, tmp_path):
    theirs = experienced(getattr(torchvision_models, kind)()).eval()
    save(theirs.state_dict(), tmp_path / "weights.pth")
    ours = NETWORKS[kind][0](weights=tmp_path / "weights.pth")
    assert list(ours.state_dict()) == list(theirs.state_dict())
    x = torch.rand(2, 3, 97, 64)
    torch.testing.assert_close(ours(x), theirs(x))
