"""What a file is, told by its first bytes and never by its name."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import PurePosixPath

from infinity_assets.stages.images.limits import ImageProblem

#: Formats that are decoded, and the file extensions that tell the truth about them.
EXTENSIONS: Mapping[str, frozenset[str]] = {
    "jpeg": frozenset({"jpg", "jpeg", "jpe", "jfif", "mpo"}),
    "png": frozenset({"png", "apng"}),
    "gif": frozenset({"gif"}),
    "webp": frozenset({"webp"}),
    "bmp": frozenset({"bmp", "dib"}),
    "tiff": frozenset({"tif", "tiff"}),
    "ppm": frozenset({"pbm", "pgm", "ppm", "pnm"}),
    "ico": frozenset({"ico"}),
    "svg": frozenset({"svg"}),
}

#: First bytes of decoded formats and of pictures that we know and do not decode.
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"II+\0", "tiff"),
    (b"MM\0+", "tiff"),
    (b"\0\0\1\0", "ico"),
    (b"8BPS", "psd"),
    (b"%PDF", "pdf"),
    (b"%!PS", "eps"),
    (b"\xc5\xd0\xd3\xc6", "eps"),
    (b"\0\0\0\x0cjP  ", "jpeg2000"),
    (b"\xff\x4f\xff\x51", "jpeg2000"),
    (b"\0\0\0\x0cJXL ", "jpegxl"),
    (b"\xff\x0a", "jpegxl"),
    (b"DDS ", "dds"),
    (b"v/1\x01", "exr"),
    (b"qoif", "qoi"),
)
_PICTURE_BRANDS = {b"avif": "avif", b"avis": "avif", b"heic": "heif", b"heix": "heif", b"mif1": "heif"}
_UNSUPPORTED = {"psd", "pdf", "eps", "jpeg2000", "jpegxl", "dds", "exr", "qoi", "avif", "heif", "svg"}

_DECODED = EXTENSIONS.keys() - _UNSUPPORTED
_BMP_HEADER_SIZES = (12, 40, 52, 56, 64, 108, 124)


def sniff(data: bytes) -> str | None:
    """The format that the first bytes tell, whatever the name says; None where they tell nothing.

    Besides the keys of :data:`EXTENSIONS` this names pictures that are not decoded (``heif``, ``psd``, ...)
    and what is often found in a picture's place: ``git_lfs_pointer``, ``html``, ``xml``, ``json``, ``zip``,
    ``gzip``, ``video``.
    """
    for magic, name in _MAGIC:
        if data.startswith(magic):
            return name
    if data[:4] == b"RIFF":
        return {b"WEBP": "webp", b"AVI ": "video"}.get(data[8:12])
    if data[4:8] == b"ftyp":
        return _PICTURE_BRANDS.get(data[8:12], "video")
    if data[:2] == b"BM" and len(data) >= 26 and struct.unpack_from("<I", data, 14)[0] in _BMP_HEADER_SIZES:
        return "bmp"
    if data[:1] == b"P" and data[1:2] in b"123456" and data[2:3].isspace():
        return "ppm"
    if data.startswith(b"version https://git-lfs.github.com/spec/"):
        return "git_lfs_pointer"
    if data[:2] == b"PK":
        return "zip"
    if data[:2] == b"\x1f\x8b":
        return "gzip"
    if data[:4] == b"\x1aE\xdf\xa3":
        return "video"
    text = data[:1024].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text[:1] == b"<":
        if b"<svg" in text:
            return "svg"
        return "html" if b"<html" in text or b"<!doctype html" in text else "xml"
    return "json" if text[:1] in (b"{", b"[") else None


def refuse_unsupported(data: bytes, kind: str | None) -> None:
    """Raise for everything that is not decoded.

    Raises:
        ImageProblem: ``zero_bytes``, ``lfs_pointer``, ``unsupported_format`` or ``not_an_image``.
    """
    if not data:
        raise ImageProblem("zero_bytes", "the file is empty")
    if kind == "git_lfs_pointer":
        raise ImageProblem(
            "lfs_pointer", "Git LFS pointer; fetch the objects (git lfs pull) and read the source again"
        )
    if kind in _UNSUPPORTED:
        raise ImageProblem("unsupported_format", f"{kind} pictures are not decoded; convert them upstream")
    if kind not in _DECODED:
        raise ImageProblem(
            "not_an_image", f"{kind} file" if kind else f"unknown first bytes {data[:8].hex(' ')}"
        )


def extension_ok(declared_name: str | None, kind: str | None) -> bool | None:
    """Whether a name's extension agrees with the true format; None where either is unknown."""
    if declared_name is None or kind is None or kind not in EXTENSIONS:
        return None
    suffix = PurePosixPath(declared_name).suffix
    return suffix[1:].lower() in EXTENSIONS[kind] if suffix else None
