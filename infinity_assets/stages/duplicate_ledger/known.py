"""What was searched before, in ``_ledger/``: it saves time and decides nothing.

Each object is an Arrow stream behind a checksum and the version of whatever its rows follow from. One that is
missing, damaged or of another version is made again.
"""

from __future__ import annotations

import logging

import blake3
import pyarrow as pa

from infinity_assets.store.objects import Objects

FOLDER = "_ledger"
_DIGEST = 32

_log = logging.getLogger(__name__)


def remember(objects: Objects, name: str, version: str, tables: dict[str, pa.Table]) -> None:
    """Put tables by name, whole or not at all."""
    sink = pa.BufferOutputStream()
    for key, table in tables.items():
        metadata = {b"name": key.encode(), b"version": version.encode()}
        with pa.ipc.new_stream(sink, table.schema.with_metadata(metadata)) as writer:
            writer.write_table(table)
    body = sink.getvalue().to_pybytes()
    objects.put(f"{FOLDER}/{name}", blake3.blake3(body).digest(_DIGEST) + body)


def recall(objects: Objects, name: str, version: str) -> dict[str, pa.Table] | None:
    """What was put under this name and version; None where there is nothing to rely on."""
    found = objects.get(f"{FOLDER}/{name}")
    if found is None:
        return None
    if blake3.blake3(found[_DIGEST:]).digest(_DIGEST) != found[:_DIGEST]:
        _log.warning("%s/%s is damaged: it is searched for anew", FOLDER, name)
        return None
    tables: dict[str, pa.Table] = {}
    source = pa.BufferReader(found[_DIGEST:])
    while source.tell() < source.size():
        with pa.ipc.open_stream(source) as reader:
            table = reader.read_all()
        metadata = table.schema.metadata or {}
        if metadata.get(b"version") != version.encode():
            return None
        tables[metadata[b"name"].decode()] = table
    return tables
