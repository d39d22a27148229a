"""Looking up the media that records refer to, and saying what is wrong with them."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

#: Reasons that this module gives; a row that has one gets another chance when the files change.
MEDIA_REASONS: Mapping[str, str] = {
    "path_outside_source": "the path is absolute or leads out of the source's folder",
    "remote_media": "the medium is an address on the web, which is never fetched",
    "missing_image": "the source has no such picture",
    "missing_media": "the source has no such clip or sound",
    "unreadable_file": "the file is there but cannot be read",
}


_WINDOWS = re.compile(r"[A-Za-z]:[\\/]|\\\\")  # a drive or a share


@dataclass(frozen=True, slots=True)
class MediaFile:
    """A file that a reference leads to."""

    root: str
    path: str
    bytes: int
    content_hash: str


@dataclass(frozen=True, slots=True)
class MediaProblem:
    """Why a reference leads nowhere."""

    reason: str
    detail: str


class MediaIndex:
    """The media of a source by path, from its manifest."""

    def __init__(self, manifest: pa.Table) -> None:
        roots = manifest.column("root").to_pylist()
        wanted = "media" if "media" in roots else "records"
        columns = (manifest.column(c).to_pylist() for c in ("path", "bytes", "content_hash", "error"))
        self._root = wanted
        self._files = {
            path: (size, digest, error)
            for root, (path, size, digest, error) in zip(roots, zip(*columns, strict=True), strict=True)
            if root == wanted
        }

    def find(self, ref: str, kind: str) -> MediaFile | MediaProblem:
        """The file behind a reference, or what is wrong with it."""
        if "://" in ref or ref.startswith("data:"):
            return MediaProblem("remote_media", f"{ref[:200]}: download it and refer to the file")
        path = posixpath.normpath(ref)
        if path.startswith(("/", "../")) or path == ".." or _WINDOWS.match(ref):
            return MediaProblem("path_outside_source", f"{ref[:200]}: leads out of the source")
        found = self._files.get(path)
        if found is None:
            reason = "missing_image" if kind == "image" else "missing_media"
            return MediaProblem(reason, f"{ref[:200]}: no such file in the source")
        size, digest, error = found
        if digest is None:
            return MediaProblem("unreadable_file", f"{ref[:200]}: {error}")
        return MediaFile(self._root, path, size, digest)


ImageVerdicts = Mapping[str, tuple[str, str | None] | None]  # image id -> None if kept, else (reason, detail)


def resolve_media(
    media: Sequence[Mapping[str, Any]], index: MediaIndex, verdicts: ImageVerdicts
) -> tuple[list[dict[str, Any]], list[str], MediaProblem | None]:
    """One row's media with their ids, the ids of its images in order, and the first thing that is wrong."""
    resolved: list[dict[str, Any]] = []
    image_ids: list[str] = []
    problem: MediaProblem | None = None
    for medium in media:
        media_id = medium["image_id"] if medium["embedded"] else None
        if not medium["embedded"]:
            found = index.find(medium["ref"], medium["kind"])
            if isinstance(found, MediaProblem):
                problem = problem or found
            else:
                media_id = found.content_hash
        resolved.append({**medium, "image_id": media_id})
        if medium["kind"] != "image" or media_id is None:
            continue
        image_ids.append(media_id)
        verdict = verdicts.get(media_id)
        if verdict is not None and problem is None:
            problem = MediaProblem(verdict[0], f"{medium['ref'][:200]}: {verdict[1]}")
    return resolved, image_ids, problem
