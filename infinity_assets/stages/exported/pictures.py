"""Pictures as trainers get them: the original bytes, except that very large ones are made smaller."""

from __future__ import annotations

import io

from infinity_assets.errors import StoreError
from infinity_assets.stages.images.decode import decode, read_header
from infinity_assets.stages.images.limits import ImageProblem, Limits

#: Longest side that leaves the platform untouched, in pixels (FineVision, arXiv 2510.17269).
MAX_SIDE = 2048

#: Raised when :func:`shrink` gives other bytes for the same picture.
SHRINK_VERSION = 1

_SUFFIXES = {"jpeg": "jpg"}


def suffix_of(format_name: str) -> str:
    """File suffix of a true format, without the dot."""
    return _SUFFIXES.get(format_name, format_name)


def shrink(data: bytes, format_name: str) -> tuple[bytes, str]:
    """A picture whose long side is :data:`MAX_SIDE`, upright, and its suffix.

    JPEG stays JPEG (quality 92, no chroma subsampling, no metadata); everything else becomes PNG, so that
    text and line drawings stay sharp. Lanczos (Pillow), the first frame of an animation. Deterministic for
    one version of the libraries. The encoders and their settings are our choice.

    Raises:
        StoreError: if the bytes cannot be decoded, which ``unified`` would have quarantined.
    """
    from PIL import Image

    try:
        pixels = decode(data, read_header(data, format_name, Limits()))
    except ImageProblem as problem:
        raise StoreError(f"a kept picture cannot be decoded ({problem}); check the images table") from problem
    image = Image.fromarray(pixels)
    if image.mode == "RGBA" and (format_name == "jpeg" or image.getchannel("A").getextrema() == (255, 255)):
        image = image.convert("RGB")
    if image.mode.startswith("I;16"):
        image = image.point(lambda v: v / 257).convert("L")
    scale = MAX_SIDE / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    small = image.resize((width, height), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    if format_name == "jpeg":
        small.save(out, "JPEG", quality=92, subsampling=0)
        return out.getvalue(), "jpg"
    small.save(out, "PNG")
    return out.getvalue(), "png"
