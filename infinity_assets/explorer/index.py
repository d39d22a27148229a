"""The index on disk: for each source one Lance dataset with a full-text index, beside the store, made anew
when a table of the source was published.

::

    <folder>/<source>.lance   what LanceDB opens as a table as well
    <folder>/<source>.json    the version that readers take, and the versions it was made from

It holds nothing that the tables do not: it may be deleted at any time. The store itself is only read.
"""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from threading import Lock, Thread
from time import monotonic
from typing import Any, Final

import pyarrow as pa

from infinity_assets.errors import InfinityError
from infinity_assets.explorer.rows import READ, batches
from infinity_assets.explorer.schema import INDEX_VERSION, INDEXED
from infinity_assets.stages.unified.schema import UNIFIED
from infinity_assets.store.digests import key_of
from infinity_assets.store.tables import Published, Store

PATIENCE: Final = 1.5  #: seconds that a reader waits for the index to be looked over
EVERY: Final = 2.0  #: seconds for which a look is good enough
LARGE: Final = 20_000  #: rows from which on columns that filters name are indexed
KEPT: Final = timedelta(hours=1)  #: for readers that have an older version open

_SCALAR: Final = {
    "sample_id": "BTREE",
    "history": "LABEL_LIST",
    "tags": "LABEL_LIST",
    "findings": "LABEL_LIST",
    "stage": "BITMAP",
    "verdict": "BITMAP",
    "reason": "BITMAP",
    "question_type": "BITMAP",
    "language": "BITMAP",
    "licence": "BITMAP",
}
#: Words by Unicode's own rules, so that Chinese is searched as well; as they stand, without stems.
_WORDS: Final[Mapping[str, Any]] = {
    "base_tokenizer": "icu",
    "lower_case": True,
    "stem": False,
    "remove_stop_words": False,
    "ascii_folding": True,
    "with_position": False,
    "memory_limit": 1024,  # MiB, while it is built; 2 GiB for each core by default
}


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the index follows the tables."""

    sources: int  #: that are published
    behind: tuple[str, ...]  #: whose last publication is not in it yet
    problem: str | None = None  #: why it could not be made


class SampleIndex:
    """The index of one store in one folder; made by a thread of its own, one at a time."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store = store
        self.folder = folder
        self._lock = Lock()
        self._thread: Thread | None = None
        self._looked = 0.0
        self._progress = Progress(0, ())
        self._opened: dict[str, tuple[str, Any]] = {}

    def follow(self, patience: float = PATIENCE) -> Progress:
        """Have the index look for what was published since, and wait a little for it."""
        with self._lock:
            working = self._thread is not None and self._thread.is_alive()
            if not working and monotonic() - self._looked > EVERY:
                self._thread = Thread(target=self._follow, name="explorer-index", daemon=True)
                self._thread.start()
            thread = self._thread
        if thread is not None:
            thread.join(patience)
        return self._progress

    def _follow(self) -> None:
        try:
            self.refresh()
        except (InfinityError, OSError) as error:
            self._progress = Progress(self._progress.sources, self._progress.behind, str(error))
        finally:
            self._looked = monotonic()

    def refresh(self) -> Progress:
        """Make anew what is behind. A source that another process is making is left to it.

        Raises:
            OSError: if the folder cannot be written.
        """
        names = self.store.partitions(UNIFIED)
        wanted = {name: self._tables(name) for name in names}
        behind = [name for name, tables in wanted.items() if self._made_from(name) != _key(tables)]
        self._progress = Progress(len(names), tuple(behind))
        self.folder.mkdir(parents=True, exist_ok=True)
        for gone in set(self.sources()) - set(names):
            self._forget(gone)
        for done, name in enumerate(behind):
            with self._alone(name) as free:
                if free and self._made_from(name) != _key(wanted[name]):
                    self._make(name, wanted[name])
            self._progress = Progress(len(names), tuple(behind[done + 1 :]))
        return self._progress

    def sources(self) -> list[str]:
        """Sources that are in the index, sorted."""
        return sorted(path.stem for path in self.folder.glob("*.json"))

    def open(self, source: str) -> Any | None:
        """The Lance dataset of a source; None where the index does not have it (yet)."""
        import lance

        told = self._note(source)
        if told is None:
            return None
        known = self._opened.get(source)
        if known is None or known[0] != told["made_from"]:
            known = (told["made_from"], lance.dataset(str(self._path(source)), version=told["version"]))
            self._opened[source] = known
        return known[1]

    def _make(self, name: str, tables: Mapping[str, Published]) -> None:
        import lance

        reader = pa.RecordBatchReader.from_batches(INDEXED, batches(tables))
        mode = "overwrite" if (self._path(name) / "_versions").exists() else "create"
        dataset = lance.write_dataset(reader, str(self._path(name)), mode=mode)
        dataset.create_scalar_index("text", "INVERTED", **_WORDS)
        if dataset.count_rows() >= LARGE:
            for column, kind in _SCALAR.items():
                dataset.create_scalar_index(column, kind)
        told = {"version": int(dataset.version), "made_from": _key(tables)}
        note = self.folder / f"{name}.json"
        staged = note.with_suffix(".staged")
        staged.write_text(json.dumps(told), "utf-8")
        staged.replace(note)
        dataset.cleanup_old_versions(older_than=KEPT)

    def _tables(self, name: str) -> Mapping[str, Published]:
        found = ((spec.name, self.store.published(spec, name)) for spec in READ)
        return {table: published for table, published in found if published is not None}

    def _made_from(self, name: str) -> str | None:
        told = self._note(name)
        return told["made_from"] if told else None

    def _note(self, name: str) -> dict[str, Any] | None:
        try:
            told: dict[str, Any] = json.loads((self.folder / f"{name}.json").read_text("utf-8"))
        except FileNotFoundError:
            return None
        return told

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.lance"

    def _forget(self, name: str) -> None:
        with suppress(FileNotFoundError):
            (self.folder / f"{name}.json").unlink()
        shutil.rmtree(self._path(name), ignore_errors=True)

    @contextmanager
    def _alone(self, name: str) -> Iterator[bool]:
        """Whether no other process makes this source."""
        with (self.folder / f".{name}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True


def _key(tables: Mapping[str, Published]) -> str:
    made: Sequence[Any] = sorted((t.uri, t.version, t.data_version, t.run_id) for t in tables.values())
    return key_of(INDEX_VERSION, made)
