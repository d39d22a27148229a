"""One slice of a source, read and measured: everything about its rows but the media they refer to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import blake3
import orjson
import pyarrow as pa

from infinity_assets.errors import one_line
from infinity_assets.readers import parse_options
from infinity_assets.readers.base import MARKERS, Locator, Record, RowError, Slice, Turn, canonical_json
from infinity_assets.readers.files import FileEntry, SourceFiles, matches
from infinity_assets.similarity.exchanges import Exchanges
from infinity_assets.similarity.texts import conversation_of, text_signatures
from infinity_assets.sources.model import SourceSpec
from infinity_assets.sources.roots import Roots, open_roots
from infinity_assets.stages.raw.schema import RAW
from infinity_assets.stages.unified.schema import DRAFT_FIELDS
from infinity_assets.stages.unified.text import (
    CANONICAL_VERSION,
    TEXT_MEASURE_VERSION,
    TOKENIZER,
    count_tokens,
    fingerprint_version,
    identify_languages,
    text_hash,
    without_markers,
)
from infinity_assets.stages.verdicts import KEEP, QUARANTINE
from infinity_assets.store.digests import key_of
from infinity_assets.store.memory import release_memory
from infinity_assets.store.objects import Objects
from infinity_assets.store.tables import Published, Store

#: Raised when the same records give other draft rows.
DRAFT_VERSION = 1

#: Rows that are held as Python objects, which take ten times what they take as columns.
ROWS_AT_ONCE = 1_000

_UNREADABLE = "unreadable"  #: argument of a slice whose file cannot be read: why

DRAFT_SCHEMA = pa.schema(list(DRAFT_FIELDS))

#: Metadata key of a draft: how many records its reader gave.
RECORDS = b"records"

#: Longest text of one turn, in characters; beyond it the row is set aside. Our choice: far longer than any
#: training context, and small enough to be hashed and shown without care.
MAX_TURN_CHARS = 16 << 20


def draft_key(spec: SourceSpec, piece: Slice) -> str:
    """The key of a slice's draft: what the slice holds and how it is read, never where the store is."""
    reader, options = parse_options(spec.reader)
    return key_of(
        "draft",
        DRAFT_VERSION,
        CANONICAL_VERSION,
        TEXT_MEASURE_VERSION,
        TOKENIZER,
        fingerprint_version(),
        reader.name,
        reader.version,
        options.model_dump_json(),
        spec.name,
        spec.licence.id,
        asdict(piece),
    )


def draft_path(source: str, key: str) -> str:
    """Where a draft waits in the store until its partition is committed."""
    return f"_drafts/unified/{source}/{key}.arrow"


def payload_of(spec: SourceSpec, base: Path, raw: Published) -> dict[str, Any]:
    """What a worker needs to read any slice of a source, as JSON values."""
    return {
        "spec": spec.model_dump(mode="json"),
        "base": str(base),
        "raw_version": raw.version,
        "raw_data_version": raw.data_version,
    }


def run_draft(root: str, key: str, payload: Mapping[str, Any]) -> None:
    """Read and measure one slice, and stage its draft under ``key``."""
    spec = SourceSpec.model_validate(payload["spec"])
    records = _Counted(read_slice(root, payload))
    tables = list(draft_tables(records, spec))
    schema = DRAFT_SCHEMA.with_metadata({RECORDS: str(records.count)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer:
        for table in tables:
            writer.write_table(table)
    Objects(root).put(draft_path(payload["spec"]["name"], key), sink.getvalue().to_pybytes())
    del tables, sink
    release_memory()


class _Counted:
    """Records as a reader gives them, counted on the way: what conservation is checked against."""

    def __init__(self, records: Iterable[Record]) -> None:
        self._records = records
        self.count = 0

    def __iter__(self) -> Iterator[Record]:
        for record in self._records:
            self.count += 1
            yield record


def load_draft(objects: Objects, source: str, key: str) -> pa.Table | None:
    """A staged draft, or None."""
    found = objects.get(draft_path(source, key))
    return pa.ipc.open_file(pa.BufferReader(found)).read_all() if found is not None else None


def read_slice(root: str, payload: Mapping[str, Any]) -> Iterable[Record]:
    """The records of one slice."""
    spec = SourceSpec.model_validate(payload["spec"])
    piece = dict(payload["slice"])
    piece["args"] = tuple((str(k), v) for k, v in piece["args"])
    why = dict(piece["args"]).get(_UNREADABLE)
    if why is not None:
        error = RowError("unreadable_file", f"{piece['file']}: {why}")
        return [Record(Locator(piece["file"]), canonical_json({"file": piece["file"]}), error=error)]
    reader, options = parse_options(spec.reader)
    raw = (payload["raw_version"], payload["raw_data_version"])
    files = _files(root, spec.model_dump_json(), payload["base"], raw)
    return reader.read(files, Slice(**piece), options)


def unreadable_files(raw: Published, roots: Roots) -> Iterator[Slice]:
    """A slice for each record file that ``raw`` could not read: its one record says so."""
    listed = raw.read(["path", "error"], "root = 'records' AND error IS NOT NULL").to_pylist()
    for path, why in sorted((row["path"], row["error"]) for row in listed):
        if any(matches(path, pattern) for pattern in roots.patterns):
            yield Slice(path, key_of(path, why), args=((_UNREADABLE, why),))


def source_files(store: Store, spec: SourceSpec, base: Path, raw_version: int) -> SourceFiles:
    """The files of a source as a version of ``raw`` lists them."""
    import lance

    reader, _ = parse_options(spec.reader)
    roots = open_roots(spec, base, reader.patterns)
    dataset = lance.dataset(store.uri(RAW.name, spec.name), version=raw_version)
    listed = dataset.to_table(
        columns=["path", "bytes", "content_hash"],
        filter="root = 'records' AND content_hash IS NOT NULL",
    )
    entries = [FileEntry(r["path"], r["bytes"], r["content_hash"]) for r in listed.to_pylist()]
    return SourceFiles(entries, roots.patterns, lambda path: roots.open("records", path))


@lru_cache(maxsize=2)
def _files(root: str, spec: str, base: str, raw: tuple[int, str]) -> SourceFiles:
    """Kept from slice to slice; by content too, because a store made anew counts its versions anew."""
    return source_files(Store(root), SourceSpec.model_validate_json(spec), Path(base), raw[0])


def draft_tables(records: Iterable[Record], spec: SourceSpec) -> Iterator[pa.Table]:
    """Draft rows of records, in their order, in :data:`DRAFT_SCHEMA`, a few at a time."""
    drafted = (_draft_row(record, spec) for record in records)
    exchanges = Exchanges()
    while rows := list(islice(drafted, ROWS_AT_ONCE)):
        yield _measured(rows, exchanges)


def _measured(rows: list[dict[str, Any]], exchanges: Exchanges) -> pa.Table:
    _fingerprint(rows, exchanges)
    questions = [_joined(row["turns"], "user") for row in rows]
    answers = [_joined(row["turns"], "assistant") for row in rows]
    both = [f"{q}\n{a}".strip() for q, a in zip(questions, answers, strict=True)]
    languages = identify_languages(both)
    counts = zip(rows, count_tokens(questions), count_tokens(answers), languages, strict=True)
    for row, question, answer, language in counts:
        has_turns = bool(row["turns"])
        row["question_tokens"] = question if has_turns else None
        row["answer_tokens"] = answer if has_turns else None
        row["language"], row["language_score"] = language or (None, None)
    return pa.Table.from_pylist(rows, schema=DRAFT_SCHEMA)


def _fingerprint(rows: list[dict[str, Any]], exchanges: Exchanges) -> None:
    """Add what duplicates are found by: hashes of each exchange, and the signature of the conversation."""
    cut = [exchanges.of([(turn["role"], turn["text"]) for turn in row["turns"]]) for row in rows]
    signatures = text_signatures([conversation_of(found) for found in cut])
    for row, found, signature in zip(rows, cut, signatures, strict=True):
        hashes = [exchanges.fingerprints(exchange) for exchange in found]
        row["question_hashes"] = [question for question, _ in hashes]
        row["turn_hashes"] = [turn for _, turn in hashes]
        row["text_signature"] = signature


def _draft_row(record: Record, spec: SourceSpec) -> dict[str, Any]:
    error = record.error
    turns, added, problem = _with_markers(record)
    reason, detail = (error.reason, error.detail) if error else problem or (None, None)
    return {
        "source": spec.name,
        "native_id": record.native_id,
        "record_hash": blake3.blake3(record.raw).hexdigest(length=16),
        "locator": asdict(record.locator),
        "turns": [{"role": t.role, "text": t.text} for t in turns],
        "media": [
            {
                "kind": m.kind,
                "ref": m.ref,
                "embedded": m.data is not None,
                "image_id": None if m.data is None else blake3.blake3(m.data).hexdigest(length=16),
            }
            for m in record.media
        ],
        "annotations": [asdict(a) for a in record.annotations],
        "extras": _json(record.extras),
        "upstream": _json(record.upstream),
        "licence": record.licence or spec.licence.id,
        "text_hash": text_hash(turns),
        "marker_added": added,
        "verdict": QUARANTINE if reason else KEEP,
        "reason": reason,
        "detail": None if detail is None else one_line(detail),
    }


def _with_markers(record: Record) -> tuple[tuple[Turn, ...], bool, tuple[str, str] | None]:
    """Turns with as many markers as media, whether any was added, and what is wrong if neither helps.

    A conversation about pictures without any marker gets them at the front of its first user turn, as
    Infinity-MM does; any other difference cannot be told apart from a lost picture.
    """
    turns = record.turns
    if any(len(t.text) > MAX_TURN_CHARS for t in turns):
        return (), False, ("too_large", f"a turn has more than {MAX_TURN_CHARS} characters")
    if not turns:
        return turns, False, None
    missing = ""
    for kind, marker in MARKERS.items():
        have = sum(t.text.count(marker) for t in turns)
        want = sum(m.kind == kind for m in record.media)
        if have == want:
            continue
        if have:
            return turns, False, ("media_count_mismatch", f"{have} {marker} markers for {want} media")
        missing += f"{marker}\n" * want
    if not missing:
        return turns, False, None
    for i, turn in enumerate(turns):
        if turn.role == "user":
            marked = Turn("user", missing + turn.text)
            return (*turns[:i], marked, *turns[i + 1 :]), True, None
    return turns, False, ("bad_turns", "media, but no user turn to hold their markers")


def _joined(turns: list[dict[str, str]], role: str) -> str:
    return "\n".join(without_markers(t["text"]) for t in turns if t["role"] == role)


def _json(value: Mapping[str, Any]) -> str:
    return orjson.dumps(dict(value), option=orjson.OPT_SORT_KEYS).decode() if value else "{}"
