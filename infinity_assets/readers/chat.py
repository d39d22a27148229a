"""Parts that conversation formats share: roles, media references, markers, typed content."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import Field

from infinity_assets.readers.base import MARKERS, Media, MediaKind, ReaderOptions, Role, Turn, canonical_json
from infinity_assets.readers.rows import BadRow, kind

#: Native role names, as LLaVA, ShareGPT, OpenAI and LLaMA-Factory write them.
ROLES: Mapping[str, Role] = {
    "system": "system",
    "developer": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "model": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "function_call": "assistant",
    "observation": "tool",
    "tool": "tool",
    "function": "tool",
}

_NOT_RELATIVE = re.compile(r"/|[A-Za-z][A-Za-z0-9+.-]*:|\\")


class MediaOptions(ReaderOptions):
    """Where a row's media paths start from, relative to the source's media root."""

    image_base: str = ""
    video_base: str = ""
    audio_base: str = ""
    strip_prefix: str = Field(
        default="", description="leading part of native paths that is not there on disk"
    )


def media_ref(native: str, base: str = "", strip_prefix: str = "") -> str:
    """The reference of a native path: ``normpath(join(base, path))``.

    Absolute paths, URLs, and paths that lead out of the root are given as they are: a later stage quarantines
    them, and nothing here opens them.
    """
    if _NOT_RELATIVE.match(native):
        return native
    path = posixpath.normpath(posixpath.join(base, native.removeprefix(strip_prefix)))
    return native if path == ".." or path.startswith("../") else path


def base_of(options: MediaOptions, medium: MediaKind) -> str:
    """The option that says where media of one kind lie."""
    return {"image": options.image_base, "video": options.video_base, "audio": options.audio_base}[medium]


def media_list(value: Any, medium: MediaKind, options: MediaOptions, name: str) -> list[Media]:
    """Media of a field that holds a path, a list of paths, or nothing (absent, null, empty text).

    Raises:
        BadRow: ``bad_record`` if it holds anything else.
    """
    if value is None or value == "":
        return []
    paths = value if isinstance(value, list) else [value]
    for path in paths:
        if not isinstance(path, str) or not path:
            raise BadRow("bad_record", f"{name!r} holds {kind(path)}; a path or a list of paths is expected")
    base = base_of(options, medium)
    return [Media(medium, media_ref(path, base, options.strip_prefix)) for path in paths]


def row_media(row: Mapping[str, Any], options: MediaOptions) -> tuple[list[Media], set[str]]:
    """Media of the customary fields (``image`` or ``images``, and so on), and the names of those fields.

    Images come before videos and these before sounds; markers of each kind are matched in order.
    """
    found: list[Media] = []
    used: set[str] = set()
    for medium in MARKERS:
        for name in (medium, f"{medium}s"):
            if name in row:
                found += media_list(row[name], medium, options, name)
                used.add(name)
    return found, used


def with_markers(turns: Sequence[Turn], media: Sequence[Media]) -> list[Turn]:
    """Turns that surely have markers: where the text has none at all, each medium gets one, with a line end
    behind it, at the start of the first user turn.

    Our choice for formats whose texts never mention their pictures; LLaVA and ShareGPT rows have markers by
    definition, so one that is missing there is a defect for a later stage to judge.
    """
    turns = list(turns)
    if not media or any(marker in turn.text for turn in turns for marker in MARKERS.values()):
        return turns
    for index, turn in enumerate(turns):
        if turn.role == "user":
            turns[index] = Turn("user", "".join(f"{MARKERS[m.kind]}\n" for m in media) + turn.text)
            break
    return turns


def without(row: Mapping[str, Any], used: Iterable[str]) -> dict[str, Any]:
    """The row's fields that have no place of their own."""
    taken = set(used)
    return {name: value for name, value in row.items() if name not in taken}


def conversation(
    items: Any, role_key: str, text_key: str, options: MediaOptions
) -> tuple[list[Turn], list[Media], dict[str, Any]]:
    """Turns of a list of objects, media of typed parts, and extras: what the turns hold besides.

    Extras are ``native_roles`` where a role's own name says more than ours (``function_call``), and
    ``turn_fields``, one object for each turn, where turns have further fields.

    Raises:
        BadRow: ``bad_turns`` if roles or texts cannot be understood.
    """
    if not isinstance(items, list) or not items:
        raise BadRow(
            "bad_turns", f"a list of turns is expected, here is {kind(items)}, empty or of another kind"
        )
    turns: list[Turn] = []
    media: list[Media] = []
    roles: list[str] = []
    rest: list[dict[str, Any]] = []
    for number, item in enumerate(items):
        if not isinstance(item, dict):
            raise BadRow("bad_turns", f"turn {number} is {kind(item)}, not an object")
        native = item.get(role_key)
        if not isinstance(native, str) or native not in ROLES:
            raise BadRow(
                "bad_turns", f"turn {number} has the role {str(native)[:40]!r}; known: {', '.join(ROLES)}"
            )
        content = item.get(text_key)
        if content is None and "tool_calls" in item:
            content = canonical_json(item["tool_calls"]).decode()
        if isinstance(content, list):
            content = _typed(content, number, options, media)
        if not isinstance(content, str):
            raise BadRow("bad_turns", f"turn {number}: {text_key!r} is {kind(content)}, not a text")
        turns.append(Turn(ROLES[native], content))
        roles.append(native)
        rest.append(without(item, (role_key, text_key)))
    extras: dict[str, Any] = {}
    if "function_call" in roles or "developer" in roles:
        extras["native_roles"] = roles
    if any(rest):
        extras["turn_fields"] = rest
    return turns, media, extras


def _typed(parts: list[Any], number: int, options: MediaOptions, media: list[Media]) -> str:
    """The text of typed parts, joined without a separator, each medium as a marker at its place."""
    text = ""
    for part in parts:
        if isinstance(part, str):
            text += part
            continue
        name = part.get("type") if isinstance(part, dict) else None
        if not isinstance(name, str):
            raise BadRow("bad_turns", f"turn {number}: a part without 'type'")
        value = next((part[k] for k in (name, "value", "url", "path") if k in part), None)
        if isinstance(value, dict):
            value = value.get("url")
        medium = next((m for m in MARKERS if name in (m, f"{m}_url")), None)
        if not isinstance(value, str) or (name != "text" and medium is None):
            raise BadRow("bad_turns", f"turn {number}: a part of type {name[:40]!r} cannot be understood")
        if medium is None:
            text += value
        else:
            media += media_list(value, medium, options, name)
            text += MARKERS[medium]
    return text
