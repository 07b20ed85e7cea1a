"""What every dynamics on the tapped modules of a network does alike."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from neurodyn.backbone import Backbone, check_evaluation_mode
from neurodyn.dynamics import Drive, Dynamics
from neurodyn.variable import Variable

DIMS = {
    1: ("unit",),
    2: ("token", "channel"),
    3: ("channel", "y", "x"),
    4: ("channel", "z", "y", "x"),
}
READOUT = {
    1: (),
    2: ("category",),
    3: ("token", "category"),
    4: ("category", "y", "x"),
    5: ("category", "z", "y", "x"),
}


class TappedDynamics(Dynamics):
    """A dynamics whose drive is a network up to its first tap.

    The sizes of the layers are known after the first stimulus: then `make` is called, once, to
    create what depends on them.

    Parameters
    ----------
    backbone : nn.Module
        Any network; in evaluation mode when solving. It is used, not copied.
    taps : sequence of str, or mapping
        As `Backbone` takes them.
    """

    _variables: tuple[Variable, ...]

    def __init__(
        self, backbone: nn.Module, taps: Sequence[str] | Mapping[str, str | nn.Module]
    ) -> None:
        super().__init__()
        self.taps = Backbone(backbone, taps)
        self.backbone = backbone
        self.stimulus_shape: torch.Size | None = None

    @abstractmethod
    def make(self, shapes: list[torch.Size], stimulus: Float[Tensor, " sample ..."]) -> None:
        """Create ``_variables`` and what depends on the taps' shapes, without samples."""

    def materialise(self, stimulus: Float[Tensor, " sample ..."]) -> None:
        """Look at the network with one stimulus: sizes, axes, the weights that depend on them."""
        check_evaluation_mode(self)
        shapes, output = self.taps.inspect(self.backbone, stimulus[:1])
        if output.ndim not in READOUT:
            raise ValueError(f"the network's output has {output.ndim} axes: 1 to 5 are known")
        with torch.inference_mode(False):
            self.make(shapes, stimulus)
        self.readout_variable = Variable("logits", READOUT[output.ndim], long_name="logit")
        self.stimulus_shape = stimulus.shape[1:]

    @property
    def variables(self) -> tuple[Variable, ...]:  # type: ignore[override]
        """The names, axes and units of the state; known after the first stimulus."""
        if self.stimulus_shape is None:
            raise RuntimeError(
                f"the sizes of the layers are not known yet: give {type(self).__name__} an "
                "`example` stimulus, or run it once"
            )
        return self._variables

    def drive(self, stimulus: Float[Tensor, " sample ..."]) -> Drive:
        """Return the stimulus, the first tap's feed-forward response, and what lies below it."""
        like = next(self.backbone.parameters(), stimulus)
        if (stimulus.dtype, stimulus.device) != (like.dtype, like.device):
            raise TypeError(
                f"the stimulus is {stimulus.dtype} on {stimulus.device}, the network {like.dtype} "
                f"on {like.device}; move one of them with .to()"
            )
        if self.stimulus_shape is None:
            self.materialise(stimulus)
        elif stimulus.shape[1:] != self.stimulus_shape:
            raise ValueError(
                f"this model was made for stimuli of shape {tuple(self.stimulus_shape)} and got "
                f"{tuple(stimulus.shape[1:])}; make another one for that size"
            )
        check_evaluation_mode(self)
        check_evaluation_mode(self.backbone, self.taps.evaluating)
        return self.taps.drive(self.backbone, stimulus)

    def train(self, mode: bool = True) -> Self:
        """Set the mode; the backbone only ever goes to evaluation mode."""
        super().train(mode)
        self.backbone.eval()
        return self

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        if self.stimulus_shape is None:
            own = {prefix + name for name in self.state_dict()}
            if any(name.startswith(prefix) and name not in own for name in state_dict):
                args[-1].append(
                    "some weights are not made yet, because the sizes of the layers are not known: "
                    f"give {type(self).__name__} an `example` stimulus before loading weights"
                )
        super()._load_from_state_dict(state_dict, prefix, *args)

    def config(self) -> dict[str, Any]:
        """Return the network's class and the taps as plain values."""
        return super().config() | {
            "backbone": type(self.backbone).__name__,
            "taps": dict(zip(self.taps.names, self.taps.modules, strict=True)),
        }
