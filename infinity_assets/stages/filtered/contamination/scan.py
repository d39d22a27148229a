"""Comparing a source with benchmarks, part by part: only what was not compared before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from infinity_assets.platform import Platform
from infinity_assets.similarity.crops import PARTS
from infinity_assets.sources.catalogue import EVALUATION
from infinity_assets.stages.benchmark_fingerprints.schema import BENCHMARK_FINGERPRINTS
from infinity_assets.stages.duplicate_ledger.narrow import narrow_pictures
from infinity_assets.stages.filtered.contamination.batch import UNIFIED_COLUMNS, Batch, with_hashes
from infinity_assets.stages.filtered.contamination.benchmark import Benchmark, words_of
from infinity_assets.stages.filtered.contamination.check import published_benchmarks
from infinity_assets.stages.filtered.contamination.kinds import CONTAMINATION
from infinity_assets.stages.filtered.contamination.match import MATCH_VERSION, find_contamination
from infinity_assets.stages.filtered.contamination.pictures import StoredPictures, Witness
from infinity_assets.stages.images.measure import MEASURE_VERSION as IMAGE_VERSION
from infinity_assets.stages.images.schema import IMAGES
from infinity_assets.stages.publish import publish
from infinity_assets.stages.tagged.stage import grouped
from infinity_assets.stages.verdicts import KEEP
from infinity_assets.store.digests import key_of
from infinity_assets.store.tables import Published, Shard, Transaction

#: What the hits of one part of a source with one version of a benchmark's fingerprints follow from besides.
SCAN_VERSION = key_of("scan", MATCH_VERSION, IMAGE_VERSION)

Part = tuple[Published, Shard]  #: a shard, and the table that it is of

_FRAME = pl.DataFrame(pl.from_arrow(CONTAMINATION.schema.empty_table()))


def materialize_contamination(
    platform: Platform, tables: Sequence[Published], run_id: str
) -> Published | None:
    """Publish what a source holds of each published benchmark: one shard for each shard of its tables.

    A shard remembers with which version of which benchmark it was compared. So a new benchmark is the only
    one that is read, and of a source that grew only the new shards are. A benchmark that left the catalogue
    takes its hits along. Hits are of all kept rows of the tables, whatever later stages make of them.

    Args:
        platform: store and catalogue.
        tables: ``unified`` of the source, and ``synthesized`` where something was written.
        run_id: who does it.

    Returns:
        The published hits; None where there is no benchmark and never was one.

    Raises:
        StoreError: if ``images`` was never published.
        CommitConflict: another run published the source meanwhile.
    """
    store, source = platform.store, tables[0].partition
    training = platform.catalogue[source].spec.category != EVALUATION
    benchmarks = published_benchmarks(platform) if training else {}
    if not benchmarks and store.published(CONTAMINATION, source) is None:
        return None
    versions = {name: table.data_version for name, table in benchmarks.items()}
    scan = _Scan(store.begin(CONTAMINATION, source), platform, tables, benchmarks, versions)
    shards = scan.shards()
    read = {table.table.name: table.data_version for table in tables}
    rows = scan.transaction.data_version(shards)
    samples = sum(part.stats["verdicts"].get(KEEP, 0) for table in tables for part in table.shards)
    return publish(
        scan.transaction,
        shards,
        rows_in=sum(shard.rows for shard in shards),
        run_id=run_id,
        engine=platform.settings.contracts,
        inputs={
            **read,
            **{f"{BENCHMARK_FINGERPRINTS.name}/{name}": version for name, version in versions.items()},
        },
        notes={"hits": _sum(shards), "samples": samples},
        # To have been compared and found clean is content: the checks of later stages ask for it.
        data_version=key_of(CONTAMINATION.name, rows, sorted(read.items()), sorted(versions.items())),
    ).published


class _Scan:
    """One comparison of a source with all benchmarks; what is read is read when first needed."""

    def __init__(
        self,
        transaction: Transaction,
        platform: Platform,
        tables: Sequence[Published],
        benchmarks: Mapping[str, Published],
        versions: Mapping[str, str],
    ) -> None:
        self.transaction = transaction
        self._store = platform.store
        self._workers = platform.settings.workers
        self._source = tables[0].partition
        self._parts = [(table, part) for table in tables for part in table.shards]
        self._published = benchmarks
        self._versions = versions
        self._benchmarks: dict[str, Benchmark] = {}
        base = transaction.base
        known = (s for s in base.shards if s.stats["version"] == SCAN_VERSION) if base else ()
        self._earlier = {shard.stats["part"]: shard for shard in known}

    def shards(self) -> list[Shard]:
        """One for each part of the tables, in order."""
        told = sorted(self._versions.items())
        parts = [part for _, part in self._parts]
        keys = [key_of("contamination", SCAN_VERSION, part.digest, told) for part in parts]
        have = {key: self.transaction.have(key) for key in keys}
        stale: dict[tuple[str, ...], list[int]] = {}
        for place, key in enumerate(keys):
            if have[key] is None:
                stale.setdefault(self._missing(parts[place]), []).append(place)
        for names, places in stale.items():
            for group in grouped(places, parts):
                have |= self._compare(names, {keys[i]: self._parts[i] for i in group})
        return [shard for key in keys if (shard := have[key]) is not None]

    def _missing(self, part: Shard) -> tuple[str, ...]:
        """Benchmarks that the part was not compared with in their present version."""
        earlier = self._earlier.get(part.digest)
        scanned: Mapping[str, str] = earlier.stats["scanned"] if earlier else {}
        return tuple(name for name, version in self._versions.items() if scanned.get(name) != version)

    def _compare(
        self, names: Sequence[str], parts: Mapping[str, tuple[Published, Shard]]
    ) -> dict[str, Shard]:
        """Compare some parts with some benchmarks as one batch; what is known of the others is kept."""
        found, owner = _FRAME, pl.DataFrame(schema={"sample_id": pl.String, "key": pl.String})
        if names:
            rows = {key: _kept(table, part) for key, (table, part) in parts.items()}
            batch = Batch(pa.concat_tables(rows.values()), self._images)
            found = pl.concat(
                [find_contamination(batch, self._benchmark(name), self._witness(name)) for name in names]
            )
            owner = pl.concat(
                pl.DataFrame(pl.from_arrow(table.select(["sample_id"]))).with_columns(key=pl.lit(key))
                for key, table in rows.items()
            )
        by_key = dict(_by_key(found.join(owner, on="sample_id", how="left", maintain_order="left")))
        return {
            key: self._stage(key, part, pl.concat([self._still(part, names), by_key.get(key, _FRAME)]))
            for key, (_, part) in parts.items()
        }

    def _still(self, part: Shard, names: Sequence[str]) -> pl.DataFrame:
        """Hits that were found before, of benchmarks that are as they were."""
        base, earlier = self.transaction.base, self._earlier.get(part.digest)
        if base is None or earlier is None or not earlier.rows:
            return _FRAME
        same = [name for name in self._versions if name not in names]
        return pl.DataFrame(pl.from_arrow(base.read_shard(earlier))).filter(pl.col("benchmark").is_in(same))

    def _stage(self, key: str, part: Shard, hits: pl.DataFrame) -> Shard:
        table = hits.sort("hit_id").to_arrow().cast(CONTAMINATION.schema)
        stats = {
            "part": part.digest,
            "version": SCAN_VERSION,
            "scanned": dict(self._versions),
            "hits": _counts(hits),
            "verdicts": {KEEP: table.num_rows},
        }
        return self.transaction.stage(key, table, stats)

    def _benchmark(self, name: str) -> Benchmark:
        if name not in self._benchmarks:
            table = self._published[name].read(where=f"verdict = '{KEEP}'")
            self._benchmarks[name] = Benchmark.of(name, table)
        return self._benchmarks[name]

    @cached_property
    def _images(self) -> pl.DataFrame:
        """What pictures of the source are looked up by, some 150 bytes each."""
        columns = ["image_id", "pixel_hash", "phash", "low_detail"]
        frame = pl.DataFrame(pl.from_arrow(self._pictures.read(columns))).with_row_index("place")
        parts = [
            narrow_pictures(self._store.objects, self._pictures, shard).parts
            for shard in self._pictures.shards
        ]
        hashes = np.concatenate(parts) if parts else np.empty((0, len(PARTS)), np.uint64)
        frame = frame.with_columns(
            parts=pl.Series(hashes, dtype=pl.Array(pl.UInt64, len(PARTS))).arr.to_list()
        )
        decoded = frame.filter(pl.col("phash").is_not_null() & pl.col("pixel_hash").is_not_null())
        return decoded.with_columns(phash=words_of("phash"), low_detail=pl.col("low_detail").fill_null(False))

    @cached_property
    def _pictures(self) -> Published:
        return self._store.require(IMAGES, self._source)

    def _witness(self, benchmark: str) -> Witness:
        images = self._store.require(IMAGES, benchmark)
        return StoredPictures(self._pictures, images, self._store.objects, self._workers)


def _kept(table: Published, part: Shard) -> pa.Table:
    """The kept samples of one shard, with what they are compared by."""
    columns = [name for name in UNIFIED_COLUMNS if name in table.table.schema.names]
    rows = table.read_shard(part, [*columns, "verdict"])
    return with_hashes(rows.filter(pc.equal(rows.column("verdict"), KEEP)).select(columns))


def _by_key(frame: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
    for (key,), group in frame.group_by("key", maintain_order=True):
        yield str(key), group.select(CONTAMINATION.schema.names)


def _counts(hits: pl.DataFrame) -> dict[str, dict[str, int]]:
    """Samples hit, by benchmark and kind."""
    counts: dict[str, dict[str, int]] = {}
    for benchmark, kind, n in hits.group_by("benchmark", "kind").len().sort("benchmark", "kind").iter_rows():
        counts.setdefault(benchmark, {})[kind] = n
    return counts


def _sum(shards: Iterable[Shard]) -> dict[str, dict[str, int]]:
    total: dict[str, Counter[str]] = {}
    for shard in shards:
        for benchmark, kinds in shard.stats["hits"].items():
            total.setdefault(benchmark, Counter()).update(kinds)
    return {benchmark: dict(sorted(kinds.items())) for benchmark, kinds in sorted(total.items())}
