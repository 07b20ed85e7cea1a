"""What the feed-forward networks share: weights drawn from a seed or read from a file."""

import math
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import safetensors.torch
import torch
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)
UNREADABLE = (pickle.UnpicklingError, EOFError, RuntimeError, safetensors.SafetensorError)


def check_sizes(**sizes: int) -> None:
    """Refuse numbers of classes, channels and the like that are not positive."""
    if min(sizes.values()) < 1:
        given = " and ".join(f"{name} = {size}" for name, size in sizes.items())
        raise ValueError(f"{given} must be 1 or more")


def filled(
    network: Network,
    weights: str | Path | None,
    seed: int,
    initialise: Callable[[Network, torch.Generator], None],
) -> Network:
    """Give weights to a network that was made without memory, on torch's device "meta".

    Parameters
    ----------
    network : nn.Module
        It is moved to the CPU and set to evaluation mode.
    weights : path, optional
        Of a state dict, see `read_weights`; it must have this network's names and shapes.
    seed : int
        Of weights that are drawn, where there is no file.
    initialise : callable
        Draws them, from a generator.

    Raises
    ------
    ValueError
        If the file's names or shapes are not this network's.
    """
    network.to_empty(device="cpu")
    if weights is None:
        initialise(network, torch.Generator().manual_seed(seed))
    else:
        load_weights(network, read_weights(weights), str(weights))
    return network.eval()


def initialise_convolutions(network: nn.Module, generator: torch.Generator) -> None:
    """Draw convolutions normal with variance 2 / fan-out, from a generator.

    The fan-out of an output is the product of the kernel's sides and the number of channels in its
    group. Their biases begin at 0, norms as the identity.

    References
    ----------
    He, Zhang, Ren & Sun (2015), arXiv:1502.01852.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.weight[:, 0].numel() // module.groups
            nn.init.normal_(
                module.weight, std=math.sqrt(2.0) / math.sqrt(fan_out), generator=generator
            )
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()


def read_weights(path: str | Path) -> Mapping[str, Tensor]:
    """Return the state dict in a file of safetensors or of ``torch.save``."""
    try:
        if Path(path).suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except UNREADABLE:
        raise ValueError(
            f"{path} cannot be read as weights: it must hold a state dict, names mapped to tensors "
            "and nothing else, in safetensors' format if its name ends in .safetensors and else in "
            "torch's; save it by torch.save(network.state_dict(), path)"
        ) from None  # torch's own advice is to run whatever the file holds
    if not isinstance(state, Mapping) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ValueError(
            f"{path} does not hold a state dict, names mapped to tensors, but "
            f"{type(state).__name__}; save network.state_dict()"
        )
    return state


def load_weights(network: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Load a state dict into a network; refuse other names or shapes, and say which."""
    own = network.state_dict()
    counters = {  # old files have none
        name: torch.zeros_like(value)
        for name, value in own.items()
        if name.endswith(".num_batches_tracked")
    }
    given = counters | dict(state)
    wrong = [
        f"{name} is {tuple(given[name].shape)}, here {tuple(own[name].shape)}"
        for name in own
        if name in given and given[name].shape != own[name].shape
    ]
    missing = [name for name in own if name not in given]
    unexpected = [name for name in given if name not in own]
    lists = {"of another shape": wrong, "missing": missing, "unexpected": unexpected}
    told = [
        f"{len(names)} {what} ({', '.join(names[:5])}{', ...' if len(names) > 5 else ''})"
        for what, names in lists.items()
        if names
    ]
    if told:
        raise ValueError(
            f"the weights in {source} are not those of this {type(network).__name__}: "
            f"{'; '.join(told)}. Build the network with the size, channels and classes that the "
            "weights were trained with"
        )
    network.load_state_dict(given)
