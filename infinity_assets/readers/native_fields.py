"""What container readers share: kinds of media by name, caption turns, upstream ids."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from infinity_assets.readers.base import MARKERS, Media, MediaKind, Turn, canonical_json
from infinity_assets.readers.chat import MediaOptions, conversation

#: The question put before a bare caption where the catalogue gives none (our choice).
DEFAULT_PROMPT = "Describe the image."

IMAGE_SUFFIXES = (
    *("jpg", "jpeg", "jpe", "jfif", "png", "webp", "gif", "bmp", "tif", "tiff"),
    *("ppm", "pgm", "pbm", "pnm", "svg", "heic", "avif", "jp2", "ico"),
)
_SUFFIX_KINDS: Mapping[str, MediaKind] = {
    **dict.fromkeys(IMAGE_SUFFIXES, "image"),
    **dict.fromkeys(("mp4", "webm", "avi", "mov", "mkv", "m4v"), "video"),
    **dict.fromkeys(("wav", "mp3", "flac", "ogg", "m4a"), "audio"),
}


def media_kind(name: str) -> MediaKind | None:
    """Image, video or audio by the name's last suffix (any case); None for anything else."""
    return _SUFFIX_KINDS.get(PurePosixPath(name).suffix[1:].lower())


def llava_turns(value: Any) -> tuple[tuple[Turn, ...], list[Media], dict[str, Any]]:
    """Turns, media of typed parts and extras of a ``conversations`` list, LLaVA's keys or OpenAI's.

    Raises:
        BadRow: ``bad_turns`` if roles or texts cannot be understood.
    """
    openai = isinstance(value, list) and bool(value) and isinstance(value[0], dict) and "role" in value[0]
    keys = ("role", "content") if openai else ("from", "value")
    turns, media, extras = conversation(value, *keys, MediaOptions())
    return tuple(turns), media, extras


def caption_turns(caption: str, prompt: str, images: int = 1) -> tuple[Turn, ...]:
    """A user's ``<image>`` markers and prompt, then the caption as the assistant's turn."""
    return Turn("user", f"{MARKERS['image']}\n" * images + prompt), Turn("assistant", caption)


def native_id(value: object) -> str | None:
    """An upstream id as text: strings as they are, integers in decimal; None for anything else."""
    if isinstance(value, str):
        return value or None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def json_text(value: Any) -> str:
    """Canonical JSON as text, for :attr:`~infinity_assets.readers.base.Annotation.data`."""
    return canonical_json(value).decode()
