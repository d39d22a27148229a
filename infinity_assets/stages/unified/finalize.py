"""From drafts to samples: media looked up, identity given, the verdict complete. Pure functions on tables."""

from __future__ import annotations

from typing import Any

import blake3
import pyarrow as pa

from infinity_assets.errors import one_line
from infinity_assets.stages.unified.media import ImageVerdicts, MediaIndex, MediaProblem, resolve_media
from infinity_assets.stages.unified.schema import UNIFIED
from infinity_assets.stages.verdicts import KEEP, QUARANTINE

#: Raised when the same drafts and media give other samples.
FINAL_VERSION = 1


class RepeatedRecord(Exception):
    """A record equals one that comes later in source order and has its id already: number all anew."""


class Identities:
    """Gives sample ids in source order; equal records are numbered, so that each has an id of its own.

    Args:
        source: name that the ids begin with.
        published: sample ids of records that keep them.
        in_order: whether those records come before all that get an id now.
    """

    def __init__(self, source: str, published: set[str], in_order: bool) -> None:
        self._source = source
        self._given = published
        self._kept = frozenset() if in_order else frozenset(published)
        self.repeats = 0  #: how many records so far equal an earlier one

    def give(self, record_hash: str, media_ids: list[str | None]) -> str:
        """The id of the next record: BLAKE3-128 of the record, its media's hashes, and k among equals.

        Raises:
            RepeatedRecord: if an equal record that comes later has an id.
        """
        base = blake3.blake3("\n".join([record_hash, *(m or "-" for m in media_ids)]).encode()).digest(16)
        given, k = f"{self._source}-{base.hex()}", 0
        if given in self._kept:
            raise RepeatedRecord(given)
        while given in self._given:
            k += 1
            numbered = blake3.blake3(base + k.to_bytes(8, "little")).hexdigest(16)
            given = f"{self._source}-{numbered}"
        self.repeats += k > 0
        self._given.add(given)
        return given


def finalize(draft: pa.Table, index: MediaIndex, verdicts: ImageVerdicts, identities: Identities) -> pa.Table:
    """Samples of one draft, row for row, in the schema of ``unified``.

    Args:
        draft: rows in DRAFT_SCHEMA.
        index: the source's media.
        verdicts: what is wrong with each picture; None or absent for nothing.
        identities: gives the ids; carries what it has seen from draft to draft.
    """
    media = draft.column("media").to_pylist()
    hashes = draft.column("record_hash").to_pylist()
    given = list(
        zip(*(draft.column(c).to_pylist() for c in ("verdict", "reason", "detail", "text_hash")), strict=True)
    )
    annotations = draft.column("annotations")
    sample_ids: list[str] = []
    content: list[str | None] = []
    new_media: list[list[dict[str, Any]]] = []
    image_ids: list[list[str]] = []
    decided: list[tuple[str, str | None, str | None]] = []
    for i, (row_media, record_hash, (verdict, reason, detail, text)) in enumerate(
        zip(media, hashes, given, strict=True)
    ):
        resolved, images, problem = resolve_media(row_media, index, verdicts) if row_media else ([], [], None)
        sample_ids.append(identities.give(record_hash, [m["image_id"] for m in resolved]))
        new_media.append(resolved)
        image_ids.append(images)
        final = _decide(verdict, reason, detail, problem)
        decided.append(final)
        if final[0] == KEEP:
            body = text or f"annotations {annotations[i].as_py()!r}"
            ids = [m["image_id"] for m in resolved]
            content.append(blake3.blake3("\n".join([body, *ids]).encode()).hexdigest(length=16))
        else:
            content.append(None)
    columns: dict[str, Any] = {name: draft.column(name) for name in draft.schema.names}
    columns |= {
        "sample_id": sample_ids,
        "media": new_media,
        "image_ids": image_ids,
        "content_hash": content,
        "verdict": [d[0] for d in decided],
        "reason": [d[1] for d in decided],
        "detail": [d[2] for d in decided],
    }
    return pa.table({name: columns[name] for name in UNIFIED.schema.names}, schema=UNIFIED.schema)


def _decide(
    verdict: str, reason: str | None, detail: str | None, problem: MediaProblem | None
) -> tuple[str, str | None, str | None]:
    """The draft's own verdict stands; a good draft falls with its media."""
    if verdict == KEEP and problem is not None:
        return QUARANTINE, problem.reason, one_line(problem.detail)
    return verdict, reason, detail
