"""Replies that were paid for, kept for ever under the hash of their request, and replayed as they were.

Segments are immutable objects: records one after another, an index, and a trailer. Each is created in one
step under a name of its own, so a killed writer leaves whole segments or nothing, and writers need no lock. A
process sees what lay there when it opened the cache, and what it wrote itself.

    segment  = record* index count:u64le magic:8 bytes
    index    = (hash:16 bytes, offset:u64le, length:u64le)*
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import orjson

from infinity_assets.errors import StoreError
from infinity_assets.models.vlm.replies import PAID, Reply, Token, Usage
from infinity_assets.store.objects import Objects

FOLDER = "vlm_cache"
MAGIC = b"IAVLMC01"
TRAILER = 16  #: bytes
ENTRY = np.dtype([("hash", "V16"), ("offset", "<u8"), ("length", "<u8")])
TAIL = 1 << 15  #: bytes of a segment's end to read at first: enough for the index of most
SMALL_SEGMENTS = 64  #: of one writer, before it merges them into one
FULL_SEGMENT = 1024  #: records, after which a segment is merged no more


@dataclass(slots=True)
class Counts:
    """What a cache did since it was opened."""

    hits: int = 0
    misses: int = 0
    bytes_read: int = 0
    bytes_written: int = 0


class ReplyCache:
    """The kept replies of a store. One thread asks and one writes; so may any number of processes."""

    def __init__(self, objects: Objects, folder: str = FOLDER) -> None:
        self._objects, self._folder = objects, folder
        self._writer, self._written = uuid.uuid4().hex, 0
        self._small: list[
            tuple[str, dict[bytes, bytes]]
        ] = []  # segments still to be merged, and their records
        self._lock = threading.Lock()  # of the index
        self.counts = Counts()
        self._places: dict[bytes, tuple[str, int, int]] = {}  # segment, offset, length
        for name in objects.children(folder):
            self._open(name)

    def __len__(self) -> int:
        return len(self._places)

    def get(self, request_hash: str) -> Reply | None:
        """The kept reply, marked as cached and costing nothing; None if there is none."""
        key = bytes.fromhex(request_hash)
        place = self._places.get(key)
        data = self._read(place) if place else None
        if place is not None and data is None:  # its writer has merged the segment since
            self._reopen()
            place = self._places.get(key)
            data = self._read(place) if place else None
        if data is None:
            self.counts.misses += 1
            return None
        self.counts.hits += 1
        self.counts.bytes_read += len(data)
        return _from_record(request_hash, data)

    def put(self, replies: Sequence[Reply]) -> None:
        """Keep those replies that were paid for: safe when this returns. Of equal hashes one is kept."""
        records = {
            bytes.fromhex(reply.request_hash): _to_record(reply) for reply in replies if reply.problem in PAID
        }
        if not records:
            return
        self._small.append((self._write(records), records))
        if len(self._small) >= SMALL_SEGMENTS:
            self._merge()

    def close(self) -> None:
        """Leave one segment behind instead of many."""
        if len(self._small) > 1:
            self._merge()

    def _merge(self) -> None:
        """One segment out of this writer's small ones. Killed in between, both are there and say the same."""
        records = {key: record for _, part in self._small for key, record in part.items()}
        merged = self._write(records)
        old, self._small = self._small, [(merged, records)] if len(records) < FULL_SEGMENT else []
        for name, _ in old:
            self._objects.delete(f"{self._folder}/{name}")

    def _write(self, records: dict[bytes, bytes]) -> str:
        self._written += 1
        name = f"{self._writer}-{self._written:08d}"
        lengths = np.fromiter((len(record) for record in records.values()), np.uint64, len(records))
        index = np.empty(len(records), ENTRY)
        index["hash"] = np.frombuffer(b"".join(records), "V16")
        index["length"] = lengths
        index["offset"] = np.cumsum(lengths) - lengths
        count = len(records).to_bytes(8, "little")
        data = b"".join((*records.values(), index.tobytes(), count, MAGIC))
        if not self._objects.create(f"{self._folder}/{name}", data):
            raise StoreError(f"{self._folder}/{name} is there already; names of writers must differ")
        self.counts.bytes_written += len(data)
        self._note(name, index)
        return name

    def _note(self, name: str, index: np.ndarray[Any, np.dtype[np.void]]) -> None:
        offsets, lengths = index["offset"].tolist(), index["length"].tolist()
        with self._lock:
            for key, offset, length in zip(index["hash"].tolist(), offsets, lengths, strict=True):
                self._places[bytes(key)] = (name, offset, length)

    def _reopen(self) -> None:
        for name in self._objects.children(self._folder):
            self._open(name)

    def _open(self, name: str) -> None:
        path = f"{self._folder}/{name}"
        tail = self._objects.get_tail(path, TAIL)
        if tail is None:
            return  # merged since it was listed: what it was merged into is found when it is asked for
        count = int.from_bytes(tail[-TRAILER:-8], "little")
        if tail[-8:] != MAGIC:
            raise StoreError(f"{path} is no segment of kept replies; put it back from a copy, or delete it")
        size = TRAILER + count * ENTRY.itemsize
        if size > len(tail):
            tail = self._objects.get_tail(path, size)
        if tail is not None:
            self._note(name, np.frombuffer(tail[-size:-TRAILER], ENTRY))

    def _read(self, place: tuple[str, int, int]) -> bytes | None:
        name, offset, length = place
        return self._objects.get_range(f"{self._folder}/{name}", offset, length)


def _to_record(reply: Reply) -> bytes:
    return orjson.dumps(
        {
            "model": reply.model,
            "text": reply.text,
            "finish_reason": reply.finish_reason,
            "detail": reply.detail if reply.problem == "refusal" else "",
            "logprobs": _tokens(reply.logprobs),
            "prompt_logprobs": _tokens(reply.prompt_logprobs),
            "tokens": [reply.usage.prompt_tokens, reply.usage.completion_tokens],
            "paid": [reply.usage.seconds, reply.usage.cost, reply.machine_s],
        }
    )


def _tokens(tokens: Sequence[Token | None] | None) -> list[Any] | None:
    return None if tokens is None else [token and [token.text, token.logprob, token.top] for token in tokens]


def _token(item: Sequence[Any]) -> Token:
    return Token(item[0], item[1], tuple((text, logprob) for text, logprob in item[2]))


def _from_record(request_hash: str, data: bytes) -> Reply:
    kept = orjson.loads(data)
    logprobs, prompt_logprobs = kept["logprobs"], kept["prompt_logprobs"]
    return replace(
        Reply(request_hash, kept["model"]),
        text=kept["text"],
        finish_reason=kept["finish_reason"],
        detail=kept["detail"],
        logprobs=None if logprobs is None else tuple(_token(item) for item in logprobs),
        prompt_logprobs=None
        if prompt_logprobs is None
        else tuple(item and _token(item) for item in prompt_logprobs),
        usage=Usage(*kept["tokens"]),
        paid=kept["paid"][1],
        machine_s=kept["paid"][2] if len(kept["paid"]) > 2 else 0.0,
        cached=True,
    )
