"""Pixels as the published weights expect them: RGB, resized straight to a square, bilinear with antialias.

The aspect ratio is lost and no part is cut off, as in the published code. The resizing is Pillow's own, in
which that code ends as well; the network takes out mean and deviation, so that bytes travel, not floats.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image


def squared(pixels: npt.NDArray[np.uint8], side: int) -> npt.NDArray[np.uint8]:
    """``(height, width, 3)`` RGB to ``(side, side, 3)``."""
    image = Image.fromarray(pixels)
    return np.asarray(image.resize((side, side), Image.Resampling.BILINEAR))
