"""A sample as what a model is asked about it: its exchanges, each with all that was said before."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from infinity_assets.models.vlm.requests import Message, Picture

MARKER: Final = re.compile(r"<(?:image|video|audio)>")
_ROLES: Final = frozenset({"system", "user", "assistant"})

#: Why a sample cannot be scored at all.
UNFIT: Final = {
    "no_conversation": "the sample has no answer",
    "other_media": "the sample has a video or a sound",
    "other_roles": "the sample has turns of tools, which servers take in forms of their own",
    "picture_missing": "a picture of the sample has no bytes",
}


class Unfit(Exception):
    """The sample cannot be scored; the argument is a key of :data:`UNFIT`."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One answer, what was asked, and the conversation up to it."""

    before: tuple[Message, ...]
    question: str  #: without markers
    answer: str  #: without space around; servers cut it off too
    pictures: tuple[Picture, ...]  #: of the conversation so far

    def without_pictures(self) -> Exchange:
        """The texts alone, which is all that reading the replies needs."""
        return Exchange((), self.question, self.answer, ())


def exchanges(
    turns: Sequence[Mapping[str, str]],
    media: Sequence[Mapping[str, Any]],
    pictures: Mapping[str, Picture],
    most: int,
) -> list[Exchange]:
    """The first exchanges of a sample.

    Args:
        turns: role and text, with a marker for each medium.
        media: in the order of the markers.
        pictures: by image id.
        most: exchanges.

    Raises:
        Unfit: says why none can be scored.
    """
    if any(medium["kind"] != "image" for medium in media):
        raise Unfit("other_media")
    if not {turn["role"] for turn in turns} <= _ROLES:
        raise Unfit("other_roles")
    shown = [pictures.get(medium["image_id"]) for medium in media]
    if None in shown:
        raise Unfit("picture_missing")
    found: list[Exchange] = []
    before: list[Message] = []
    seen: list[Picture] = []
    asked: list[str] = []
    for turn in turns:
        text = turn["text"]
        if turn["role"] == "assistant":
            if asked:
                found.append(Exchange(tuple(before), "\n".join(asked).strip(), text.strip(), tuple(seen)))
            asked = []
        elif turn["role"] == "user":
            asked.append(MARKER.sub(" ", text).strip())
        count = len(MARKER.findall(text))
        here = [picture for picture in shown[len(seen) : len(seen) + count] if picture is not None]
        before.append(Message(turn["role"], _parts(text, here)))
        seen += here
        if len(found) == most:
            break
    if not found:
        raise Unfit("no_conversation")
    return found


def _parts(text: str, pictures: Sequence[Picture]) -> tuple[str | Picture, ...]:
    """Text and pictures in their order; a marker beyond the pictures is text."""
    parts: list[str | Picture] = []
    pieces = MARKER.split(text, maxsplit=len(pictures))
    for number, piece in enumerate(pieces):
        if piece.strip():
            parts.append(piece.strip() if pictures else piece)
        if number < len(pictures):
            parts.append(pictures[number])
    return tuple(parts) or ("",)
