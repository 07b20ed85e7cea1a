"""Corruptions against those of the package imagecorruptions, each on one thread.

    python benchmarks/corrupt.py [--kinds fog,snow] [--severities 1,3,5] [--repeats 5] [--batch 64]

A batch of photographs of 224 x 224 pixels (scikit-image's cat), made by ours at once and by the
package image by image, in turns in one process; CPU time, the smallest of all turns. It needs
imagecorruptions-imaug, whose first call (which compiles) is not counted.
"""

import argparse
import contextlib
import io
import os
import time
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")

import cv2  # noqa: E402
import imagecorruptions  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from skimage import data  # noqa: E402

from neurodyn.stimuli.corrupt import CORRUPTIONS, corrupt  # noqa: E402


def clock(function: Callable[[], object]) -> float:
    """CPU seconds of one call."""
    begin = time.thread_time()
    function()
    return time.thread_time() - begin


def main() -> None:
    """Print a table of times and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", default=",".join(sum(CORRUPTIONS.values(), ())))
    parser.add_argument("--severities", default="1,3,5")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batch", type=int, default=64)
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    cat = data.chelsea()
    crops = [cat[i % 76 : i % 76 + 224, (3 * i) % 227 : (3 * i) % 227 + 224].copy()
             for i in range(args.batch)]  # fmt: skip
    images = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).contiguous() / 255
    print(f"torch {torch.__version__}, one thread, {args.batch} images of 224 x 224, ms an image")
    for kind in args.kinds.split(","):
        for severity in map(int, args.severities.split(",")):

            def theirs(kind: str = kind, severity: int = severity) -> list[np.ndarray]:
                with contextlib.redirect_stdout(io.StringIO()):  # it prints at some sizes
                    return [imagecorruptions.corrupt(crop, severity, kind) for crop in crops]

            def ours(kind: str = kind, severity: int = severity) -> torch.Tensor:
                return corrupt(images, kind, severity)

            imagecorruptions.corrupt(crops[0], severity, kind)
            corrupt(images[:1], kind, severity)
            turns = [(clock(theirs), clock(ours)) for _ in range(args.repeats)]
            peer, own = (1e3 * min(times) / args.batch for times in zip(*turns, strict=True))
            print(f"  {kind:18s}{severity}  theirs {peer:7.2f}  ours {own:6.2f}"
                  f"  {peer / own:6.1f} times", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
