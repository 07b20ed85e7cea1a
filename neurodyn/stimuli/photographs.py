"""Six photographs that come with scikit-image."""

from importlib.resources import files

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from neurodyn.stimuli.backgrounds import as_background

FILES = (
    "astronaut.png", "camera.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "rocket.jpg"
)  # fmt: skip


def photographs(colour: bool = False) -> list[UInt8[Tensor, "channel y x"]]:
    """Return the photographs of natural scenes that come with scikit-image, as backgrounds.

    An astronaut, a man with a camera, the cat Chelsea, a cup of coffee, a motorcycle in a
    workshop, the launch of a rocket: 300 to 512 pixels high and 451 to 741 wide. Only files within
    the installed package are read; nothing is downloaded. Its pictures of textures, coins, pages,
    cells and the sky are left out.

    Parameters
    ----------
    colour : bool
        Three channels if true (equal ones for the camera, which is grey), else one: the
        luminance.

    Returns
    -------
    list of Tensor
        uint8, each of shape (1 or 3, height, width), for the argument `background` of
        `multi_digits`.

    Raises
    ------
    ImportError
        Without scikit-image: ``pip install "neurodyn[photographs]"``.

    References
    ----------
    van der Walt et al. (2014), scikit-image: image processing in Python, PeerJ 2, e453,
    doi 10.7717/peerj.453. In the public domain or CC0, as scikit-image says: astronaut (NASA),
    camera (L. Varshney), chelsea (S. van der Walt), coffee (R. Michetti), rocket (SpaceX). It
    states no licence for the motorcycle: Scharstein et al. (2014), High-resolution stereo datasets
    with subpixel-accurate ground truth, GCPR.

    Examples
    --------
    >>> [tuple(photograph.shape) for photograph in photographs(colour=True)]  # doctest: +SKIP
    [(3, 512, 512), (3, 512, 512), (3, 300, 451), (3, 400, 600), (3, 500, 741), (3, 427, 640)]
    """
    try:
        folder = files("skimage.data")
    except ImportError as error:
        raise ImportError(
            'photographs need scikit-image: pip install "neurodyn[photographs]"'
        ) from error
    found = []
    for name in FILES:
        with folder.joinpath(name).open("rb") as file, Image.open(file) as image:
            found.append(as_background(np.asarray(image.convert("RGB")), colour))
    return found
