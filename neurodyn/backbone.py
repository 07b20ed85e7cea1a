"""Named modules of any network as stages: run between them, with other values in their place."""

import difflib
import threading
from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from neurodyn.dynamics import Drive, State

_BUSY: WeakKeyDictionary[nn.Module, threading.RLock] = WeakKeyDictionary()
"""One lock per module: two threads cannot answer its calls at once."""

STIMULUS = "stimulus"
Visit = Callable[[int, Tensor], Tensor]
Parts = Mapping[str, Callable[[str, Callable], Callable]]


class LastTap(Exception):  # noqa: N818  (a way out of the network, not an error)
    """Leaves a network's forward once its last tap has been visited."""


class Backbone:
    """A network seen as stages that end at tapped modules.

    Works by answering calls: for the length of one pass, a module is given a ``forward`` that
    returns another value. So any control flow will do, skips may cross a tap, and parameters stay
    where they are (``functional_call``, ``vmap``, ``deepcopy`` and ``pickle`` see a plain module).
    Only names are stored here. Threads that run through the same modules wait for each other.

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
        self.evaluating: set[str] = set()
        self.needs_below = True
        self.head_alone: dict[str, torch.Size] | None = None

    def inspect(self, network: nn.Module, stimulus: Tensor) -> tuple[list[torch.Size], Tensor]:
        """Run once, refuse what cannot be tapped; return the taps' shapes and the output.

        Also notes which tensors handed to the network it changes in place; those are handed over
        as copies from then on. And what is used across a tap: if nothing from below the first,
        the drive need not keep it; if nothing from below the last, the head can run alone.
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
            with answering(modules, {m: partial(watching, m) for m in self.modules}):
                output = network(stimulus.clone())
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
            self._find_recomputing(network, stimulus)
            self._find_inplace(network, stimulus)
            self.evaluating = {name for name, m in modules.items() if not m.training}
            shapes: list[torch.Size] = []
            self.needs_below, _ = self._crosses(network, stimulus, range(len(self.modules)), shapes)
            crosses, blank = self._crosses(network, stimulus, range(len(self.modules))[-1:], [])
            by_sample = all(shape[0] == len(stimulus) for shape in blank.values())
            self.head_alone = None if crosses or not by_sample else blank
            drive = self.drive(network, stimulus)
            state: list[Tensor] = []

            def keep(n: int, feedforward: Tensor) -> Tensor:
                state.append(feedforward.clone())
                return feedforward

            self.sweep(network, drive, keep)
            again = self.head(network, drive, tuple(state))
            if again.shape != output.shape or (
                (again - output).abs().max() > 1e-3 * output.abs().max()
            ):
                raise ValueError(
                    "the network does not return its own output when its taps' outputs are put "
                    "back in their places: a tapped module works in place on something that is "
                    "used again, or something in the network is random. Use inplace=False, tap "
                    "another module, call .eval()"
                )
        return shapes, output

    def _find_recomputing(self, network: nn.Module, stimulus: Tensor) -> None:
        """Refuse taps within activation checkpointing, which calls them again in the backward pass.

        There an operation at the tap is not saved where the outermost hooks would see it, or, in
        the older form, carries no gradient although the output does.
        """
        saved: list[None] = []
        hidden: dict[str, bool] = {}
        without: dict[str, bool] = {}

        def watching(name: str, forward: Callable) -> Callable:
            def watched(*args: Any, **kwargs: Any) -> Any:
                before = len(saved)
                probe = torch.ones((), requires_grad=True)
                probe.square()
                hidden[name] = len(saved) == before
                without[name] = not torch.is_grad_enabled()
                return forward(*args, **kwargs)

            return watched

        def pack(tensor: Tensor) -> Tensor:
            saved.append(None)
            return tensor

        modules = dict(network.named_modules())
        hooks = torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor)
        with (
            torch.enable_grad(),
            hooks,
            answering(modules, {m: partial(watching, m) for m in self.modules}),
        ):
            output = network(stimulus.clone().requires_grad_().clone())
        for name in self.modules:
            if hidden[name] and (output.requires_grad or not without[name]):
                raise ValueError(
                    f"the tapped module {name!r} is called within activation checkpointing "
                    "(torch.utils.checkpoint), which would call it again, untapped, in the "
                    "backward pass; switch that off (gradient='checkpoint' saves memory here)"
                )

    def _find_inplace(self, network: nn.Module, stimulus: Tensor) -> None:
        """Find the tensors handed to the network that it changes, by their version counters."""
        self.inplace = set()
        copy = stimulus.clone()
        made = {STIMULUS: 0}
        drive = self._up_to(network, copy, self.modules[0], made)
        handed = calls_in(drive) | {STIMULUS: copy}

        def visit(n: int, feedforward: Tensor) -> Tensor:
            handed[self.modules[n]] = feedforward.clone()
            made[self.modules[n]] = 0
            return handed[self.modules[n]]

        # an answer can be changed below the tap, by a module, or in every later pass
        changed = {key for key, value in handed.items() if value._version != made[key]}
        made |= {key: value._version for key, value in handed.items()}
        self._run(network, drive, visit, range(len(self.modules)), to_the_end=True)
        changed |= {key for key, value in handed.items() if value._version != made[key]}
        self.inplace = {key.split("[")[0] for key in changed}

    def _crosses(
        self, network: nn.Module, stimulus: Tensor, taps: range, shapes: list[torch.Size]
    ) -> tuple[bool, dict[str, torch.Size]]:
        """Tell whether anything from below the first of some taps is used above it.

        Returns that, and the shapes of what the modules below returned; fills the taps' shapes.
        """
        drive = self._up_to(network, stimulus, self.modules[taps[0]])
        below = calls_in(drive)
        first = drive["feedforward"].clone()  # in place, a tap returns what it was given

        def visit(n: int, feedforward: Tensor) -> Tensor:
            shapes.append(feedforward.shape[1:])
            uses.above = True
            return first if n == taps[0] else feedforward.clone()

        with Uses(below.values()) as uses:
            self._run(network, drive, visit, taps, to_the_end=True)
        return uses.found, {key: value.shape for key, value in below.items()}

    def drive(self, network: nn.Module, stimulus: Tensor) -> Drive:
        """Run up to the first tap; keep what the outermost modules on the way returned.

        Keys are ``name[k]`` for the k-th call of a module, "feedforward" for the first tap's own
        output and "stimulus". What is not needed above the tap keeps its shape only.
        """
        drive = self._up_to(network, stimulus, self.modules[0])
        if not self.needs_below:
            drive |= {k: v.new_zeros(()).expand(v.shape) for k, v in calls_in(drive).items()}
        return drive

    def _up_to(
        self, network: nn.Module, stimulus: Tensor, tap: str, versions: dict[str, int] | None = None
    ) -> Drive:
        modules = dict(network.named_modules())
        completed: list[tuple[str, Tensor, int]] = []
        kept: Drive = {STIMULUS: stimulus}

        def noting(name: str, forward: Callable) -> Callable:
            def noted(*args: Any, **kwargs: Any) -> Any:
                begun = len(completed)
                out = forward(*args, **kwargs)
                if name == tap:
                    del completed[begun:]
                    kept["feedforward"] = out
                    raise LastTap
                if isinstance(out, Tensor):
                    del completed[begun:]  # this module answers for those inside it
                    version = 0 if versions is None else out._version
                    completed.append((name, self._own(name, out), version))
                return out

            return noted

        wrapped = {name: partial(noting, name) for name in modules if name}
        with answering(modules, wrapped):
            try:
                network(self._own(STIMULUS, stimulus))
            except LastTap:
                pass
        count: dict[str, int] = defaultdict(int)
        for name, out, version in completed:
            key = f"{name}[{count[name]}]"
            kept[key] = out
            count[name] += 1
            if versions is not None:
                versions[key] = version
        return kept

    def sweep(self, network: nn.Module, drive: Drive, visit: Visit) -> None:
        """Run from the first tap to the last, bottom-up.

        At tap n, ``visit(n, feedforward)`` gets what the module computed from what lies below,
        and returns what the network goes on with.
        """
        self._run(network, drive, visit, range(len(self.modules)))

    def run(self, network: nn.Module, drive: Drive, visit: Visit) -> Tensor:
        """Run from the first tap to the end, visiting each tap as `sweep` does; return the output.

        What lies between the taps is computed from what the visits return, skips included.
        """
        return self._run(network, drive, visit, range(len(self.modules)), to_the_end=True)

    def head(self, network: nn.Module, drive: Drive, state: State) -> Tensor:
        """Return the network's output with each tap's output replaced by its state.

        Only what lies above the last tap runs, unless it needs more than that tap's state.
        """
        taps = range(len(self.modules))
        if self.head_alone is not None:
            top, taps = state[-1], taps[-1:]
            zero = top.new_zeros(())
            blank = {k: zero.expand(len(top), *s[1:]) for k, s in self.head_alone.items()}
            drive = {STIMULUS: drive[STIMULUS], "feedforward": top, **blank}
        return self._run(network, drive, lambda n, _: state[n], taps, True, compute=False)

    def _own(self, name: str, value: Tensor) -> Tensor:
        """Return what to hand over: a copy if the network would change it in place."""
        return value.clone() if name in self.inplace else value

    def _run(
        self, network: nn.Module, drive: Drive, visit: Visit, taps: range,
        to_the_end: bool = False, compute: bool = True, parts: Parts | None = None,
        at_input: Container[int] = (),
    ) -> Tensor:  # fmt: skip
        """Run through some taps.

        Modules in `parts` are called as those say, and at taps in `at_input` `visit` is given what
        the tapped module would be, in place of what it returns.
        """
        modules = dict(network.named_modules())
        answers: dict[str, list[Tensor]] = defaultdict(list)
        for key, value in calls_in(drive).items():
            answers[key.rsplit("[", 1)[0]].append(value)
        below = True

        def answer(name: str, forward: Callable) -> Callable:
            queue = iter(answers[name])
            if parts and name in parts:
                forward = parts[name](name, forward)

            def answered(*args: Any, **kwargs: Any) -> Any:
                out = next(queue, None) if below else None
                if out is None:
                    return forward(*args, **kwargs)
                return self._own(name, out)

            return answered

        def tap(n: int, name: str, forward: Callable) -> Callable:
            def tapped(*args: Any, **kwargs: Any) -> Tensor:
                nonlocal below
                below = False
                if n == taps[0] or not compute:
                    value = drive["feedforward"]
                else:
                    value = args[0] if n in at_input else forward(*args, **kwargs)
                out = visit(n, value)
                if n == taps[-1] and not to_the_end:
                    raise LastTap
                return self._own(name, out)

            return tapped

        wrapped = {name: partial(part, name) for name, part in (parts or {}).items()}
        wrapped |= {name: partial(answer, name) for name in answers}
        wrapped |= {self.modules[n]: partial(tap, n, self.modules[n]) for n in taps}
        with answering(modules, wrapped):
            try:
                return network(self._own(STIMULUS, drive[STIMULUS]))
            except LastTap:
                return drive["feedforward"]


class Uses(TorchDispatchMode):
    """Finds whether some tensors, or anything computed from them, are used above a tap.

    Any number read out of a tensor counts as a use, because the network may branch on it.
    """

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        super().__init__()
        self.known = {id(t): t for t in tensors}  # held, so that no id is used again
        self.above = False
        self.found = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one operation, and follow where its inputs come from."""
        out = func(*args, **(kwargs or {}))
        inputs = tree_leaves((args, kwargs))
        if any(id(x) in self.known for x in inputs if isinstance(x, Tensor)):
            self.found |= self.above
            self.known |= {id(x): x for x in tree_leaves(out) if isinstance(x, Tensor)}
        self.found |= func is torch.ops.aten._local_scalar_dense.default
        return out


def calls_in(drive: Drive) -> Drive:
    """Return the entries that answer calls of modules: ``name[k]``."""
    return {key: value for key, value in drive.items() if key.endswith("]")}


@contextmanager
def answering(
    modules: Mapping[str, nn.Module], wrappers: Mapping[str, Callable[[Callable], Callable]]
) -> Iterator[None]:
    """Wrap the ``forward`` of modules for the length of a with block, for this thread's calls.

    Other threads' plain calls go past the wrappers; their own passes through any of the same
    modules wait.
    """
    thread = threading.get_ident()

    def own(forward: Callable, wrapped: Callable) -> Callable:
        def chosen(*args: Any, **kwargs: Any) -> Any:
            return (wrapped if threading.get_ident() == thread else forward)(*args, **kwargs)

        return chosen

    with ExitStack() as locks:
        for module in sorted((modules[name] for name in wrappers), key=id):  # one order for all
            locks.enter_context(_BUSY.setdefault(module, threading.RLock()))
        before = {name: modules[name].__dict__.get("forward") for name in wrappers}
        try:
            for name, wrapper in wrappers.items():
                forward = modules[name].forward
                modules[name].__dict__["forward"] = own(forward, wrapper(forward))
            yield
        finally:
            for name, given in before.items():
                if given is None:
                    modules[name].__dict__.pop("forward", None)
                else:
                    modules[name].__dict__["forward"] = given


def check_evaluation_mode(network: nn.Module, evaluating: Container[str] = ()) -> None:
    """Refuse modules whose output depends on the rest of the batch or on chance.

    And those that were in evaluation mode when they were looked at, and are no longer.
    """
    kinds = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)
    random = ("DropPath", "StochasticDepth", "RReLU")
    for name, module in network.named_modules():
        if module.training and name in evaluating:
            raise ValueError(
                f"{type(module).__name__} {name!r} is in training mode, and was not when this "
                "model was made; call .eval() on the network first"
            )
        drops = getattr(module, "dropout", 0.0)  # of attention and recurrent layers
        drops = isinstance(drops, float) and drops > 0
        if isinstance(module, kinds) and getattr(module, "running_mean", 0) is None:
            raise ValueError(
                f"{type(module).__name__} {name!r} keeps no running statistics, so that the "
                "samples of a batch would change each other; give it track_running_stats=True"
            )
        if module.training and (
            drops or isinstance(module, kinds) or type(module).__name__ in random
        ):
            if isinstance(module, nn.modules.dropout._DropoutNd) and module.p == 0:
                continue
            raise ValueError(
                f"{type(module).__name__} {name!r} is in training mode; its output would change "
                "from one evaluation to the next within a solve. Call .eval() on the network first"
            )
