"""What an image may cost before it is decoded, and the reasons for setting one aside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds that are checked on the header, before a pixel is decoded.

    The defaults are our choice. ``max_pixels`` is four times the largest picture that the recipes we follow
    train on (4096 x 4096, MAmmoTH-VL clamps to it), and holds one decode below about 1.6 GiB, measured: 4
    bytes a pixel decoded, up to three times that while the decoder's rows are copied, or its own canvases.
    """

    max_bytes: int = 64 << 20  #: of the file
    max_pixels: int = 64 << 20  #: width times height of one frame
    max_frames: int = 2_000  #: of a GIF, WebP or APNG, or pages of a TIFF
    max_scans: int = 100  #: of a progressive JPEG: each costs a pass over all pixels; encoders write about 10


#: Reason codes of a quarantined image.
IMAGE_REASONS: Mapping[str, str] = {
    "zero_bytes": "the file is empty",
    "lfs_pointer": "the file is a Git LFS pointer: the picture itself was never fetched",
    "not_an_image": "the bytes are another kind of file (HTML, JSON, text, archive, video) or nothing known",
    "unsupported_format": "an image format or pixel type that is not decoded (SVG, HEIF, PDF, floats, ...)",
    "truncated_image": "the file ends before the picture does",
    "unreadable_image": "the file claims a format but its decoder refuses it",
    "too_large": "more bytes or pixels than the limits allow",
    "too_many_frames": "more frames or pages than the limits allow",
    "decoder_died": "decoding it killed or stalled the worker process",
    "too_many_scans": "a progressive JPEG with more scans than the limits allow",
}


class ImageProblem(Exception):
    """Why an image cannot be measured; becomes a verdict, never leaves this package.

    Attributes:
        reason: a key of :data:`IMAGE_REASONS`.
        detail: one line for a person.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
