r"""Images changed a little so that a network errs: FGSM, BIM and PGD.

All three are one iteration, by the sign of the gradient (L-inf) or by its direction (L2):

.. math::
    x_{k+1} = \Pi\left( x_k \pm \eta\,\epsilon\, u(\nabla_x L(x_k)) \right), \qquad
    u_\infty(g) = \mathrm{sign}(g), \quad u_2(g) = g / \lVert g \rVert_2

with the cross-entropy L, a plus sign to lead away from the right category and a minus sign to lead
to a target, and :math:`\Pi` the projection to within :math:`\epsilon` of the image, then to the
range of grey values. FGSM takes one step of :math:`\eta = 1`; BIM several; PGD the same from a
random start.

**White box, transfer and gradient masking.** An attack is white-box only if its gradient is that of
the network attacked. Here it is: `neurodyn.as_classifier` differentiates the whole solve, the error
term of predictive coding included. The authors' attacks on Predify took the gradient inside that
term as a constant (read in their code), so where the error rate is effective they followed another
network's gradient, and some of the robustness found may be that gradient's blindness, not the
network's. ``PredictiveCoding(..., detach_error=True)`` gives that gradient, with the same answers.
A sign of masking (Athalye et al. 2018) is that images made on one network fool another more
often than that network's own: so `neurodyn.robustness.answers_under_attack` shows every time also
the images made at the first.
"""

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from neurodyn.attack_checks import check, check_generator, check_strength
from neurodyn.batches import check_labels

Images = Float[Tensor, "sample ..."]
Labels = Int[Tensor, " sample"]
Model = Callable[[Tensor], Tensor]
Norm = Literal["linf", "l2"]


def fgsm(
    model: Model,
    images: Images,
    labels: Labels,
    epsilon: float,
    *,
    norm: Norm = "linf",
    targeted: bool = False,
    bounds: tuple[float, float] = (0.0, 1.0),
) -> Images:
    r"""Return images after one step of full length along the gradient.

    .. math:: x' = \Pi\left( x \pm \epsilon\, u(\nabla_x L(x)) \right)

    Parameters
    ----------
    model, images, labels, epsilon, norm, targeted, bounds
        As in `bim`.

    References
    ----------
    Goodfellow, Shlens & Szegedy (2015), Explaining and harnessing adversarial examples,
    arXiv 1412.6572.

    Examples
    --------
    >>> model = torch.nn.Flatten()            # each pixel votes for a category of its own
    >>> images = torch.tensor([[0.5, 0.4, 0.1]])
    >>> fgsm(model, images, torch.tensor([0]), 0.1)
    tensor([[0.4000, 0.5000, 0.2000]])
    """
    return bim(
        model, images, labels, epsilon,
        norm=norm, steps=1, relative_step=1.0, targeted=targeted, bounds=bounds,
    )  # fmt: skip


def bim(
    model: Model,
    images: Images,
    labels: Labels,
    epsilon: float,
    *,
    norm: Norm = "linf",
    steps: int = 10,
    relative_step: float | None = None,
    start: Images | None = None,
    targeted: bool = False,
    stop_early: bool = False,
    bounds: tuple[float, float] = (0.0, 1.0),
) -> Images:
    r"""Return images after several steps along the gradient, each projected back.

    .. math:: x_{k+1} = \Pi\left( x_k \pm \eta\,\epsilon\, u(\nabla_x L(x_k)) \right)

    Parameters
    ----------
    model : callable
        Images to logits (sample, category), e.g. of `neurodyn.as_classifier` at one time.
    images : Tensor
        (sample, ...), within `bounds`.
    labels : Tensor
        (sample,): what they show; or, if `targeted`, what they are to be taken for.
    epsilon : float
        The strength: how far an image may be changed, in grey values for "linf" (the most in any
        pixel) and "l2" (the root of the sum of squares).
    norm : {"linf", "l2"}
        How the change is measured.
    steps : int
        How many.
    relative_step : float, optional
        The length of a step, :math:`\eta`, over epsilon; by default ``2.5 / steps``, enough to
        reach the border from anywhere and turn (Madry et al. 2018).
    start : Tensor, optional
        Where to begin, within epsilon of the images; by default the images.
    targeted : bool
        Lead to `labels` rather than away from them.
    stop_early : bool
        Leave an image as it is as soon as it fools the network, which makes the change as small
        as this path has it; and end when all do. By default every step is taken.
    bounds : tuple of float
        The darkest and the brightest grey value.

    Returns
    -------
    Tensor
        Like the images, without gradient.

    Raises
    ------
    ValueError
        For images outside the bounds, labels that are no categories, logits that are not (sample,
        category), a gradient that is not finite, and settings out of range.
    TypeError
        For images that are not floating point, and labels that are not of type int64.

    Notes
    -----
    A gradient of exactly 0, as of a rectifier that is shut or a softmax that is saturated in
    float32, moves nothing: what looks robust then was not attacked.

    References
    ----------
    Kurakin, Goodfellow & Bengio (2017), Adversarial examples in the physical world,
    arXiv 1607.02533. Madry, Makelov, Schmidt, Tsipras & Vladu (2018), Towards deep learning models
    resistant to adversarial attacks, arXiv 1706.06083. Athalye, Carlini & Wagner (2018), Obfuscated
    gradients give a false sense of security, arXiv 1802.00420.

    Examples
    --------
    >>> import neurodyn as nd
    >>> from neurodyn.classifier import as_classifier
    >>> from neurodyn.models import pc_shallow
    >>> images, labels = nd.stimuli.digits("test", n=8)
    >>> classifier = as_classifier(pc_shallow(pretrained=True), 3.0, method="euler")
    >>> changed = bim(classifier, images, labels, 0.2, steps=5)
    >>> round(float((changed - images).abs().max()), 3)
    0.2
    >>> fooled = classifier(changed).argmax(-1) != labels
    >>> int(fooled.sum()) > 4
    True
    """
    check(images, labels, epsilon, norm, steps, relative_step, start, bounds)
    size = epsilon * (2.5 / steps if relative_step is None else relative_step)
    images = images.detach()
    x = images if start is None else start.detach()
    for _ in range(steps):
        logits, gradient = logits_and_gradient(model, x, labels)
        step = -size if targeted else size
        moved = projected(x + step * direction(gradient, norm), images, epsilon, norm, bounds)
        if stop_early:
            done = (logits.argmax(-1) == labels) == targeted
            if done.all():
                break
            moved = torch.where(along(done, x), x, moved)
        x = moved
    return x


def pgd(
    model: Model,
    images: Images,
    labels: Labels,
    epsilon: float,
    *,
    generator: torch.Generator,
    norm: Norm = "linf",
    steps: int = 40,
    relative_step: float | None = None,
    targeted: bool = False,
    stop_early: bool = False,
    bounds: tuple[float, float] = (0.0, 1.0),
) -> Images:
    r"""Return images after `bim` from a random start.

    .. math:: x_0 = \Pi(x + \epsilon\, z), \qquad z \text{ uniform in the unit ball}

    Parameters
    ----------
    model, images, labels, epsilon, norm, steps, relative_step, targeted, stop_early, bounds
        As in `bim`.
    generator : torch.Generator
        Of the random start.

    References
    ----------
    Madry, Makelov, Schmidt, Tsipras & Vladu (2018), arXiv 1706.06083.

    Examples
    --------
    >>> images = torch.tensor([[0.5, 0.4, 0.1]])
    >>> generator = torch.Generator().manual_seed(0)
    >>> pgd(torch.nn.Flatten(), images, torch.tensor([0]), 0.1, generator=generator)
    tensor([[0.4000, 0.5000, 0.2000]])
    """
    check(images, labels, epsilon, norm, steps, relative_step, None, bounds)
    start = random_start(images, epsilon, generator, norm=norm, bounds=bounds)
    return bim(
        model, images, labels, epsilon, norm=norm, steps=steps, relative_step=relative_step,
        start=start, targeted=targeted, stop_early=stop_early, bounds=bounds,
    )  # fmt: skip


def random_start(
    images: Images,
    epsilon: float,
    generator: torch.Generator,
    *,
    norm: Norm = "linf",
    bounds: tuple[float, float] = (0.0, 1.0),
) -> Images:
    r"""Return images moved to a random place within epsilon, then clipped to the bounds.

    .. math::
        z_\infty \sim U(-1, 1)^n, \qquad z_2 = v^{1/n}\, w / \lVert w \rVert_2, \quad
        v \sim U(0, 1), \; w \sim N(0, I_n)

    Both are uniform in the unit ball of their norm. The draw does not depend on epsilon: with the
    same seed all strengths start in the same direction.

    Parameters
    ----------
    images, epsilon, norm, bounds
        As in `bim`.
    generator : torch.Generator
        Its device may be another than that of the images.

    References
    ----------
    Madry et al. (2018), arXiv 1706.06083. The ball: Muller (1959), doi:10.1145/377939.377946.

    Examples
    --------
    >>> start = random_start(torch.full((1, 3), 0.5), 0.1, torch.Generator().manual_seed(0))
    >>> bool(((start - 0.5).abs() <= 0.1).all())
    True
    """
    check_strength(images, epsilon, norm, bounds)
    check_generator(generator)
    how = {"generator": generator, "device": generator.device, "dtype": images.dtype}
    if norm == "linf":
        z = 2 * torch.rand(images.shape, **how) - 1  # type: ignore[call-overload]
    else:
        w = torch.randn(images.shape, **how)  # type: ignore[call-overload]
        v = torch.rand(len(images), **how)  # type: ignore[call-overload]
        z = direction(w, "l2") * along(v ** (1 / images[0].numel()), images)
    x = images.detach()
    return projected(x + epsilon * z.to(images.device), x, epsilon, norm, bounds)


def logits_and_gradient(
    model: Model, x: Images, labels: Labels
) -> tuple[Float[Tensor, "sample category"], Images]:
    """Return the logits and the gradient of the cross-entropy, summed over samples."""
    with torch.enable_grad():
        x = x.clone().requires_grad_()
        logits = model(x)
        if logits.ndim != 2 or len(logits) != len(x):
            raise ValueError(
                f"an attack needs logits (sample, category) of {len(x)} samples, the model returns "
                f"{tuple(logits.shape)}; give as_classifier one time, not a sequence"
            )
        check_labels("labels", labels, x, logits.shape[1])
        (gradient,) = torch.autograd.grad(F.cross_entropy(logits, labels, reduction="sum"), x)
    if not gradient.sum().isfinite() and not gradient.isfinite().all():
        raise ValueError(
            "the gradient with respect to the images is not finite; look for square roots, norms "
            "or divisions at 0 in the network"
        )
    return logits.detach(), gradient


def direction(gradient: Images, norm: Norm) -> Images:
    """Return the sign, or the gradient over its length (0 stays 0)."""
    if norm == "linf":
        return gradient.sign()
    largest = gradient.flatten(1).abs().amax(1).clamp_min(torch.finfo(gradient.dtype).tiny)
    gradient = gradient / along(largest, gradient)  # squares of small numbers would vanish
    return gradient / along(gradient.flatten(1).norm(dim=1).clamp_min(1.0), gradient)


def projected(
    x: Images, images: Images, epsilon: float, norm: Norm, bounds: tuple[float, float]
) -> Images:
    """Return the nearest point within epsilon of the images, then the nearest within bounds."""
    change = x - images
    if norm == "linf":
        change = change.clamp(-epsilon, epsilon)
    else:
        length = change.flatten(1).norm(dim=1)
        scale = torch.where(length > epsilon, epsilon / length, 1.0)
        change = change * along(scale, change)
    return (images + change).clamp(*bounds)


def along(values: Float[Tensor, " sample"], like: Tensor) -> Tensor:
    """Return one value per sample with the axes of another tensor."""
    return values.view(-1, *[1] * (like.ndim - 1))
