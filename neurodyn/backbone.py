"""Named modules of any network as stages: run between them, with other values in their place."""

import difflib
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from neurodyn.dynamics import Drive, State

_BUSY: WeakKeyDictionary[nn.Module, threading.RLock] = WeakKeyDictionary()
"""One lock per network: two threads cannot answer calls of the same modules at once."""

Visit = Callable[[int, Tensor], Tensor]


class LastTap(Exception):  # noqa: N818  (a way out of the network, not an error)
    """Leaves a network's forward once its last tap has been visited."""


class Backbone:
    """A network seen as stages that end at tapped modules.

    Works by answering calls: for the length of one pass, a module is given a ``forward`` that
    returns another value. So any control flow will do, skips may cross a tap, and parameters stay
    where they are (``functional_call``, ``vmap``, ``deepcopy`` and ``pickle`` see a plain module).
    Only names are stored here. Threads that use the same network wait for each other.

    Parameters
    ----------
    network : nn.Module
        Any network whose tapped modules return one tensor and are called once in a pass.
    taps : sequence or mapping
        Dotted module names, in the order they are computed; or names of states mapped to dotted
        names or modules.
    """

    def __init__(
        self, network: nn.Module, taps: Sequence[str] | Mapping[str, str | nn.Module]
    ) -> None:
        known = dict(network.named_modules())
        known.pop("", None)
        by_module = {id(module): name for name, module in known.items()}
        if isinstance(taps, str) or not taps:
            raise ValueError(f"taps must be a list or mapping of module names, got {taps!r}")
        pairs = taps.items() if isinstance(taps, Mapping) else [(t, t) for t in taps]
        self.names: list[str] = []
        self.modules: list[str] = []
        for name, module in pairs:
            if isinstance(module, nn.Module):
                if id(module) not in by_module:
                    raise ValueError(
                        f"tap {name!r} is a {type(module).__name__} that is not a part of the "
                        f"network; its modules are {', '.join(list(known)[:20])}"
                    )
                module = by_module[id(module)]
            if module not in known:
                near = difflib.get_close_matches(str(module), known, n=5, cutoff=0.3)
                hint = f"; did you mean {', '.join(near)}?" if near else "."
                raise ValueError(
                    f"the network has no module {module!r}{hint} All names: "
                    f"{', '.join(list(known)[:40])}{', ...' if len(known) > 40 else ''}"
                )
            self.names.append(name)
            self.modules.append(module)
        if len(set(self.modules)) < len(self.modules):
            raise ValueError(f"each module can be tapped once, got {', '.join(self.modules)}")
        self.inplace: set[str] = set()
        self.needs_below = True

    def inspect(self, network: nn.Module, stimulus: Tensor) -> tuple[list[torch.Size], Tensor]:
        """Run once, refuse what cannot be tapped; return the taps' shapes and the output.

        Also notes which tensors handed to the network it changes in place (by their version
        counter); those are handed over as copies from then on. And whether anything from below
        the first tap is used above it: if the output is the same with NaN for all of it, the
        drive need not keep it.
        """
        calls: list[str] = []

        def watching(name: str, forward: Callable) -> Callable:
            def watched(*args: Any, **kwargs: Any) -> Any:
                out = forward(*args, **kwargs)
                calls.append(name)
                if not isinstance(out, Tensor):
                    raise TypeError(
                        f"the tapped module {name!r} returns {type(out).__name__}, not one tensor; "
                        "tap a module inside it"
                    )
                return out

            return watched

        modules = dict(network.named_modules())
        with torch.inference_mode(False), torch.no_grad():
            stimulus = stimulus.detach().clone()
            with answering(modules, {m: watching(m, modules[m].forward) for m in self.modules}):
                output = network(stimulus)
            for module in self.modules:
                if calls.count(module) != 1:
                    raise ValueError(
                        f"the tapped module {module!r} is called {calls.count(module)} times in a "
                        f"pass; a tap must be called exactly once (called: {', '.join(calls)})"
                    )
            if calls != self.modules:
                raise ValueError(
                    f"taps must be listed in the order they are computed: {', '.join(calls)}; "
                    f"got {', '.join(self.modules)}"
                )
            if not isinstance(output, Tensor):
                raise TypeError(
                    f"the network returns {type(output).__name__}, not one tensor to read out"
                )
            drive = self.drive(network, stimulus)
            below = [key for key in drive if "[" in key]
            handed = {key: drive[key] for key in below}
            versions = {key: value._version for key, value in handed.items()}
            seen: list[Tensor] = []

            def visit(n: int, feedforward: Tensor) -> Tensor:
                seen.append(feedforward.clone())
                handed[self.modules[n]] = feedforward.clone()
                versions[self.modules[n]] = 0
                return handed[self.modules[n]]

            seen.append(self._run(network, drive, visit, compute=True, to_the_end=True))
            changed = {key for key, value in handed.items() if value._version != versions[key]}
            self.inplace = {key.split("[")[0] for key in changed}
            truth, seen[:] = list(seen), []
            nan = {key: torch.full_like(drive[key], torch.nan) for key in below}
            seen.append(self._run(network, drive | nan, visit, compute=True, to_the_end=True))
            self.needs_below = not all(map(torch.equal, truth, seen))
        return [feedforward.shape[1:] for feedforward in truth[:-1]], output

    def drive(self, network: nn.Module, stimulus: Tensor) -> Drive:
        """Run up to the first tap; keep what the outermost modules on the way returned.

        Keys are ``name[k]`` for the k-th call of a module, "feedforward" for the first tap's own
        output and "stimulus".
        """
        modules = dict(network.named_modules())
        completed: list[tuple[str, Tensor]] = []
        kept: Drive = {"stimulus": stimulus}

        def noting(name: str, forward: Callable) -> Callable:
            def noted(*args: Any, **kwargs: Any) -> Any:
                begun = len(completed)
                out = forward(*args, **kwargs)
                if name == self.modules[0]:
                    del completed[begun:]
                    kept["feedforward"] = out
                    raise LastTap
                if isinstance(out, Tensor):
                    del completed[begun:]  # this module answers for those inside it
                    completed.append((name, out.clone() if name in self.inplace else out))
                return out

            return noted

        wrapped = {name: noting(name, m.forward) for name, m in modules.items() if name}
        with answering(modules, wrapped):
            try:
                network(stimulus)
            except LastTap:
                pass
        count: dict[str, int] = defaultdict(int)
        for name, out in completed:
            key = f"{name}[{count[name]}]"
            kept[key] = out if self.needs_below else out.new_zeros(()).expand(out.shape)
            count[name] += 1
        return kept

    def sweep(self, network: nn.Module, drive: Drive, visit: Visit) -> None:
        """Run from the first tap to the last, bottom-up.

        At tap n, ``visit(n, feedforward)`` gets what the module computed from what lies below,
        and returns what the network goes on with.
        """
        self._run(network, drive, visit, compute=True, to_the_end=False)

    def head(self, network: nn.Module, drive: Drive, state: State) -> Tensor:
        """Return the network's output with each tap's output replaced by its state."""
        return self._run(network, drive, lambda n, _: state[n], compute=False, to_the_end=True)

    def _run(
        self, network: nn.Module, drive: Drive, visit: Visit, *, compute: bool, to_the_end: bool
    ) -> Tensor:
        modules = dict(network.named_modules())
        answers: dict[str, list[Tensor]] = defaultdict(list)
        for key, value in drive.items():
            if "[" in key:
                answers[key.rsplit("[", 1)[0]].append(value)
        below = True

        def answer(name: str, forward: Callable) -> Callable:
            queue = iter(answers[name])

            def answered(*args: Any, **kwargs: Any) -> Any:
                out = next(queue, None) if below else None
                if out is None:
                    return forward(*args, **kwargs)
                return out.clone() if name in self.inplace else out

            return answered

        def tap(n: int, name: str, forward: Callable) -> Callable:
            def tapped(*args: Any, **kwargs: Any) -> Tensor:
                nonlocal below
                below = False
                if n == 0:
                    feedforward = drive["feedforward"]
                else:
                    feedforward = forward(*args, **kwargs) if compute else drive["feedforward"]
                out = visit(n, feedforward)
                if n == len(self.modules) - 1 and not to_the_end:
                    raise LastTap
                return out.clone() if name in self.inplace else out

            return tapped

        wrapped = {name: answer(name, modules[name].forward) for name in answers}
        wrapped |= {m: tap(n, m, modules[m].forward) for n, m in enumerate(self.modules)}
        with answering(modules, wrapped):
            try:
                return network(drive["stimulus"])
            except LastTap:
                return drive["feedforward"]


@contextmanager
def answering(modules: Mapping[str, nn.Module], forwards: Mapping[str, Callable]) -> Iterator[None]:
    """Give modules another ``forward`` for the length of a with block."""
    with _BUSY.setdefault(modules[""], threading.RLock()):
        before = {name: modules[name].__dict__.get("forward") for name in forwards}
        try:
            for name, forward in forwards.items():
                modules[name].__dict__["forward"] = forward
            yield
        finally:
            for name, own in before.items():
                if own is None:
                    modules[name].__dict__.pop("forward", None)
                else:
                    modules[name].__dict__["forward"] = own


def check_evaluation_mode(network: nn.Module) -> None:
    """Refuse modules whose output depends on the rest of the batch or on chance."""
    kinds = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)
    random = ("DropPath", "StochasticDepth", "RReLU")
    for name, module in network.named_modules():
        if module.training and (isinstance(module, kinds) or type(module).__name__ in random):
            if isinstance(module, nn.modules.dropout._DropoutNd) and module.p == 0:
                continue
            raise ValueError(
                f"{type(module).__name__} {name!r} is in training mode; its output would change "
                "from one evaluation to the next within a solve. Call .eval() on the network first"
            )
