"""Lance tables, one dataset for each stage and partition, with stage-audit-commit.

A table is a list of immutable shards. A writer stages shards (fragments that no reader can see), audits them,
and commits once, pinned to the version it read when it began. The latest version is the published one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from infinity_assets.errors import CommitConflict, StoreError
from infinity_assets.store import digests
from infinity_assets.store.lookup import build_indexes
from infinity_assets.store.objects import Objects
from infinity_assets.store.published import Published
from infinity_assets.store.shards import Shard, TableSpec

__all__ = [
    "Published",
    "Shard",
    "Store",
    "TableSpec",
    "Transaction",
    "clear_staging",
    "stage_shard",
    "staged_shard",
]

MANIFEST = b"infinity.manifest"
PARTITION_NAME = "abcdefghijklmnopqrstuvwxyz0123456789_"


class Store:
    """All tables under one root: a local folder or any object-store URI that Lance takes."""

    def __init__(self, root: str | Path, storage_options: Mapping[str, str] | None = None) -> None:
        self.root = str(root).rstrip("/")
        self.storage_options = dict(storage_options) if storage_options else None
        self.objects = Objects(self.root, self.storage_options)

    def uri(self, table: str, partition: str) -> str:
        """Where a partition of a table lives.

        Raises:
            StoreError: if the partition's name could leave the store.
        """
        if not partition or any(c not in PARTITION_NAME for c in partition):
            raise StoreError(f"{partition!r} is not a partition name: only a-z, 0-9 and _ are allowed")
        return f"{self.root}/{table}/{partition}.lance"

    def published(self, spec: TableSpec, partition: str) -> Published | None:
        """The latest committed version, or None if nothing was ever published.

        Raises:
            StoreError: if the table was written by another schema version.
        """
        return self._latest(spec, partition)[1]

    def past(self, spec: TableSpec, partition: str, version: int) -> Published | None:
        """What a Lance version published, or None if it is there no more."""
        import lance

        try:
            dataset = lance.dataset(
                self.uri(spec.name, partition), version=version, storage_options=self.storage_options
            )
        except (OSError, ValueError):
            return None
        return self._described(spec, partition, dataset)

    def _latest(self, spec: TableSpec, partition: str) -> tuple[int, Published | None]:
        """The latest Lance version, 0 if there is no dataset, and what it publishes, both of one look."""
        import lance

        if not self._exists(spec, partition):
            return 0, None
        dataset = lance.dataset(self.uri(spec.name, partition), storage_options=self.storage_options)
        return int(dataset.version), self._described(spec, partition, dataset)

    def _described(self, spec: TableSpec, partition: str, dataset: Any) -> Published | None:
        """What a dataset's own manifest says of it; None for one that was only made, not published."""
        uri = self.uri(spec.name, partition)
        metadata = dataset.schema.metadata or {}
        if MANIFEST not in metadata:
            raise StoreError(f"{uri}: not a table of this platform (no manifest); move it away")
        manifest = json.loads(metadata[MANIFEST])
        if manifest is None:
            return None
        if manifest["schema_version"] != spec.version:
            raise StoreError(
                f"{uri}: written with schema {spec.name} v{manifest['schema_version']}, this code reads"
                f" v{spec.version}; materialize it again into a new root"
            )
        return Published(
            spec,
            partition,
            uri,
            int(dataset.version),
            manifest["data_version"],
            manifest["run_id"],
            tuple(Shard.from_json(s) for s in manifest["shards"]),
            manifest["inputs"],
            manifest["notes"],
            self.storage_options,
        )

    def _exists(self, spec: TableSpec, partition: str) -> bool:
        folder = self.uri(spec.name, partition).removeprefix(f"{self.root}/")
        return self.objects.exists_prefix(f"{folder}/_versions")

    def require(self, spec: TableSpec, partition: str) -> Published:
        """Like :meth:`published`.

        Raises:
            StoreError: if nothing was published yet; the message says what to materialize.
        """
        found = self.published(spec, partition)
        if found is None:
            raise StoreError(f"{spec.name} of {partition} was never published; materialize {spec.name} first")
        return found

    def partitions(self, spec: TableSpec) -> list[str]:
        """Names of the partitions that were ever published, sorted."""
        return [n for n in self.names(spec) if self.published(spec, n) is not None]

    def names(self, spec: TableSpec) -> list[str]:
        """Names of the partitions that were ever begun, sorted; nothing is opened."""
        found = self.objects.children(spec.name)
        return sorted(n.removesuffix(".lance") for n in found if n.endswith(".lance"))

    def begin(self, spec: TableSpec, partition: str) -> Transaction:
        """Start writing: pins the version that is published now."""
        self._create(spec, partition)
        pinned, base = self._latest(spec, partition)
        return Transaction(self, spec, partition, base, pinned)

    def _create(self, spec: TableSpec, partition: str) -> None:
        """Make an empty, unpublished dataset where there is none.

        Lance lets two writers create the same dataset at once, the second over the first. With a version to
        pin from the start, the first publication is refused to all but one, like any other.
        """
        import lance

        if self._exists(spec, partition):
            return
        schema = spec.schema.with_metadata({MANIFEST: json.dumps(None)})
        try:
            lance.LanceDataset.commit(
                self.uri(spec.name, partition),
                lance.LanceOperation.Overwrite(schema, []),
                read_version=0,
                max_retries=0,  # never over a dataset that another run made meanwhile
                storage_options=self.storage_options,
            )
        except OSError:
            if not self._exists(spec, partition):
                raise


class Transaction:
    """One attempt to publish a partition. Nothing is visible before :meth:`commit`."""

    def __init__(
        self, store: Store, spec: TableSpec, partition: str, base: Published | None, read_version: int
    ) -> None:
        self.store = store
        self.spec = spec
        self.partition = partition
        self.base = base
        self.read_version = read_version
        self._published = {s.key: s for s in base.shards} if base else {}

    def have(self, key: str) -> Shard | None:
        """The shard under ``key``, if it is published or staged already."""
        if key in self._published:
            return self._published[key]
        return staged_shard(self.store, self.spec, self.partition, key)

    def stage(self, key: str, table: pa.Table, stats: Mapping[str, Any] | None = None) -> Shard:
        """Write the rows as invisible fragments under ``key``, unless they are there."""
        return self.have(key) or stage_shard(self.store, self.spec, self.partition, key, table, stats)

    def staged(self, key: str) -> Shard:
        """Like :meth:`have`.

        Raises:
            CommitConflict: if another run published meanwhile, which clears what was staged.
            StoreError: if it is gone for another reason.
        """
        found = self.have(key)
        if found is None:
            raise self.gone(f"shard {key}")
        return found

    def gone(self, what: str) -> StoreError:
        """The error for something staged that is there no more: most likely another run was faster."""
        if self._moved():
            return CommitConflict(self._refusal())
        return StoreError(f"{self.spec.name} of {self.partition}: {what} is gone from the store; run again")

    def data_version(self, shards: Sequence[Shard]) -> str:
        """What the data version would be if these shards were committed."""
        digest = digests.add([s.digest for s in shards])
        return digests.data_version(self.spec.name, self.spec.version, sum(s.rows for s in shards), digest)

    @contextmanager
    def preview(self, shards: Sequence[Shard]) -> Iterator[Any]:
        """The table as it would be: a Lance dataset that no reader can find, for audits before a commit."""
        import lance

        uri = self.store.uri(self.spec.name, self.partition)
        dataset = lance.LanceDataset.commit(
            uri,
            lance.LanceOperation.Overwrite(self.spec.schema, _fragments(shards)),
            read_version=self.read_version,
            detached=True,
            storage_options=self.store.storage_options,
        )
        try:
            yield dataset
        finally:
            folder = f"{self.spec.name}/{self.partition}.lance/_versions"
            self.store.objects.delete(f"{folder}/d{dataset.version}.manifest")

    def commit(
        self,
        shards: Sequence[Shard],
        *,
        run_id: str,
        inputs: Mapping[str, str],
        made_by: str = "",
        notes: Mapping[str, Any] | None = None,
        data_version: str | None = None,
        beside: bool = False,
        restated: bool = False,
    ) -> tuple[Published, bool]:
        """Publish exactly these shards, in this order.

        Args:
            run_id: who did it; not part of the data version.
            inputs: names and data versions of what was read.
            made_by: code version of the stage; like the run it stands with the shards that are new.
            data_version: where content is more than the rows (``images``); computed from the rows otherwise.
            beside: whether the table is read shard by shard beside that from which it is made. Then equal
                content is written too where its shards are others: those of before have no partner any more.
            restated: whether the notes tell the next run something new, so that equal content is written too.

        Returns:
            The published version, and whether its content is new: equal content commits nothing.

        Raises:
            CommitConflict: if another run published this partition meanwhile.
        """
        import lance
        from lance.commit import CommitConflictError

        version = data_version or self.data_version(shards)
        equal = self.base is not None and self.base.data_version == version
        recut = self.base is not None and [s.key for s in self.base.shards] != [s.key for s in shards]
        if self.base is not None and equal and not (beside and recut) and not restated:
            self._assert_unmoved()
            clear_staging(self.store, self.spec, self.partition)
            build_indexes(self.base.dataset(), self.spec, self.base.rows)
            return self.base, False
        notes = dict(notes or {})
        told = [s if s.run_id else replace(s, run_id=run_id, code_version=made_by) for s in shards]
        made_from = dict(sorted(inputs.items()))
        manifest = {
            "table": self.spec.name,
            "schema_version": self.spec.version,
            "partition": self.partition,
            "data_version": version,
            "run_id": run_id,
            "inputs": made_from,
            "notes": notes,
            "shards": [s.to_json() for s in told],
        }
        schema = self.spec.schema.with_metadata({MANIFEST: json.dumps(manifest)})
        uri = self.store.uri(self.spec.name, self.partition)
        dataset = None
        while dataset is None:
            self._assert_unmoved()
            try:
                dataset = lance.LanceDataset.commit(
                    uri,
                    lance.LanceOperation.Overwrite(schema, _fragments(shards)),
                    read_version=self.read_version,
                    max_retries=0,
                    storage_options=self.store.storage_options,
                    commit_message=f"run {run_id}",
                )
            except CommitConflictError as error:
                before = self.read_version
                if self._moved() or self.read_version == before:
                    raise CommitConflict(self._refusal()) from error
            except OSError as error:
                if self._moved():
                    raise CommitConflict(self._refusal()) from error
                raise
        clear_staging(self.store, self.spec, self.partition)
        built = build_indexes(dataset, self.spec, sum(s.rows for s in shards))
        published = Published(
            self.spec,
            self.partition,
            uri,
            built,
            version,
            run_id,
            tuple(told),
            made_from,
            notes,
            self.store.storage_options,
        )
        return published, not equal

    def _assert_unmoved(self) -> None:
        if self._moved():
            raise CommitConflict(self._refusal())

    def _moved(self) -> bool:
        """Whether another run published; an index that was built meanwhile is none, and is built upon."""
        version, found = self.store._latest(self.spec, self.partition)
        if (
            self.base is not None
            and found is not None
            and replace(found, version=self.base.version) == self.base
        ):
            self.read_version = version
        return version != self.read_version

    def _refusal(self) -> str:
        return (
            f"{self.spec.name} of {self.partition}: another run published it while this one worked;"
            " nothing was changed by this run, run it again to build on the new version"
        )


def stage_shard(
    store: Store,
    spec: TableSpec,
    partition: str,
    key: str,
    table: pa.Table,
    stats: Mapping[str, Any] | None = None,
) -> Shard:
    """Write one shard's rows as fragments that no version refers to, then record them under ``key``.

    The record is written last and atomically: a kill in between leaves bytes that nobody refers to.
    """
    import lance

    if table.schema.names != spec.schema.names:
        raise StoreError(f"{spec.name}: columns {table.schema.names} are not {spec.schema.names}")
    table = table.cast(spec.schema)
    fragments: list[Any] = []
    if table.num_rows:
        fragments = lance.fragment.write_fragments(
            table,
            store.uri(spec.name, partition),
            schema=spec.schema,
            storage_options=store.storage_options,
        )
    shard = Shard(
        key,
        table.num_rows,
        digests.table_digest(table.drop_columns(list(spec.digest_exclude))),
        tuple(json.dumps(f.to_json()) for f in fragments),
        dict(stats or {}),
    )
    store.objects.put(_staging(spec, partition, key), json.dumps(shard.to_json()).encode())
    return shard


def staged_shard(store: Store, spec: TableSpec, partition: str, key: str) -> Shard | None:
    """What was staged under ``key``, or None."""
    found = store.objects.get(_staging(spec, partition, key))
    return Shard.from_json(json.loads(found)) if found is not None else None


def clear_staging(store: Store, spec: TableSpec, partition: str) -> None:
    """Forget the staged records of a partition (after a commit); the fragments that it took stay."""
    store.objects.delete_prefix(f"_staging/{spec.name}/{partition}/")


def _staging(spec: TableSpec, partition: str, key: str) -> str:
    return f"_staging/{spec.name}/{partition}/{key}.json"


def _fragments(shards: Sequence[Shard]) -> list[Any]:
    import lance

    return [lance.FragmentMetadata.from_json(text) for s in shards for text in s.fragments]
