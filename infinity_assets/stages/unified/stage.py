"""Materializing ``images`` and ``unified``: draft, decode, finalize, then commit pictures and samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import blake3
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from infinity_assets.platform import Platform
from infinity_assets.readers import parse_options
from infinity_assets.readers.base import Slice
from infinity_assets.sharding.plan import Plan, Task
from infinity_assets.sharding.pool import OnDeath, run_plan
from infinity_assets.sources.catalogue import Source
from infinity_assets.stages.images.measure import MEASURE_VERSION
from infinity_assets.stages.images.plan import Wanted, plan_images, split
from infinity_assets.stages.images.schema import IMAGES
from infinity_assets.stages.publish import StageResult, code_version, publish, verdict_stats
from infinity_assets.stages.raw.schema import RAW
from infinity_assets.stages.raw.stage import roots_of
from infinity_assets.stages.unified.draft import (
    RECORDS,
    draft_key,
    load_draft,
    payload_of,
    source_files,
    unreadable_files,
)
from infinity_assets.stages.unified.finalize import (
    FINAL_VERSION,
    Identities,
    RepeatedRecord,
    finalize,
)
from infinity_assets.stages.unified.media import MediaFile, MediaIndex
from infinity_assets.stages.unified.reuse import reusable, verify_unchanged
from infinity_assets.stages.unified.schema import UNIFIED
from infinity_assets.stages.unified.versions import unified_version
from infinity_assets.store import digests
from infinity_assets.store.tables import Published, Shard, Transaction

#: Longest that one shard may take, in seconds, before its worker counts as hung. Our choice.
DRAFT_TIMEOUT_S = 1800.0
IMAGES_TIMEOUT_S = 300.0

#: Told after each shard: phase, done, total.
OnProgress = Callable[[str, int, int], None]


def materialize_unified(
    platform: Platform, source: str, run_id: str, on_progress: OnProgress | None = None
) -> tuple[StageResult, StageResult]:
    """Publish the pictures and the samples of a source.

    Returns:
        The results of ``images`` and of ``unified``.

    Raises:
        StoreError: if ``raw`` was never published.
        SourceError: if a file changed since ``raw`` hashed it.
        CriticalCheckFailed: nothing of ``unified`` is committed then.
        CommitConflict: another run published the source meanwhile.
    """
    work = _Work(platform, platform.catalogue[source], run_id, on_progress)
    try:
        return work.run()
    except RepeatedRecord:
        # A new record equals a published one that comes later: number all again, in source order.
        work.reuse = {}
        return work.run()


@dataclass
class _Work:
    """The state of one materialization; :meth:`run` calls the other methods in their order."""

    platform: Platform
    source: Source
    run_id: str
    on_progress: OnProgress | None
    raw: Published = field(init=False)
    reuse: dict[str, Shard] = field(init=False)  #: published shards that stay, by draft key
    keys: list[str] = field(init=False)
    slices: dict[str, Slice] = field(init=False)
    image_shards: list[Shard] = field(init=False)
    pictures_in: int = field(init=False)  #: distinct pictures stored or referred to

    def __post_init__(self) -> None:
        store = self.platform.store
        self.raw = store.require(RAW, self.source.name)
        self.images: Transaction = store.begin(IMAGES, self.source.name)
        self.unified: Transaction = store.begin(UNIFIED, self.source.name)
        self.reuse = reusable(store, self.unified.base, self.raw)
        self.index = MediaIndex(self.raw.read(["root", "path", "bytes", "content_hash", "error"]))

    def run(self) -> tuple[StageResult, StageResult]:
        """Everything, from slices to two committed tables."""
        self.read()
        self.decode()
        return self.commit(self.finalize())

    def read(self) -> None:
        """Draft every slice that is neither published nor drafted already."""
        spec, base = self.source.spec, self.source.file.parent
        reader, options = parse_options(spec.reader)
        files = source_files(self.platform.store, spec, base, self.raw.version)
        roots = roots_of(self.source)
        verify_unchanged(self.raw, roots, [e.path for e in files.records])
        pieces = [*reader.plan(files, options), *unreadable_files(self.raw, roots)]
        self.slices = {draft_key(spec, piece): piece for piece in pieces}
        self.reuse = {key: shard for key, shard in self.reuse.items() if key in self.slices}
        self.keys = list(self.slices)
        objects = self.platform.store.objects
        drafted = {n.removesuffix(".arrow") for n in objects.children(f"_drafts/unified/{spec.name}")}
        tasks = [
            Task("draft", key, payload_of(spec, base, self.raw) | {"slice": asdict(self.slices[key])})
            for key in self.keys
            if key not in self.reuse and key not in drafted
        ]
        self._run("unified", tasks, "read", DRAFT_TIMEOUT_S, _read_again)

    def decode(self) -> None:
        """Measure every picture that is referred to and not yet stored."""
        base = self.images.base
        kept = list(base.shards) if base and base.notes["measure_version"] == MEASURE_VERSION else []
        known = set(base.read(["image_id"]).column("image_id").to_pylist()) if base and kept else set()
        common = payload_of(self.source.spec, self.source.file.parent, self.raw)
        planned = list(plan_images(self._wanted(known), common))
        order = [task.key for task in planned]

        def on_death(task: Task, why: str) -> Sequence[Task]:
            if task.payload.get("failure"):
                raise RuntimeError(
                    f"{self.source.name}: {task.payload['items'][0][2]}: {why}, even undecoded"
                )
            parts = split(task, why)
            position = order.index(task.key)
            order[position : position + 1] = [p.key for p in parts]
            return [p for p in parts if self.images.have(p.key) is None]

        missing = [task for task in planned if self.images.have(task.key) is None]
        self._run("images", missing, "decode", IMAGES_TIMEOUT_S, on_death)
        self.pictures_in = len(known) + sum(len(task.payload["items"]) for task in planned)
        self.image_shards = kept + [self.images.staged(key) for key in order]

    def finalize(self) -> list[Shard]:
        """Stage the samples of every slice that is not published as it is; gives all shards in order."""
        new = [key for key in self.keys if key not in self.reuse]
        verdicts = self._verdicts() if new else {}
        identities = self._identities() if new else None
        shards = []
        for key in self.keys:
            if identities is None or key in self.reuse:
                shards.append(self.reuse[key])
                continue
            before = identities.repeats
            draft = self._draft(key)
            samples = finalize(draft, self.index, verdicts, identities)
            stats = _stats(samples) | {
                "draft": key,
                "records": int(draft.schema.metadata[RECORDS]),
                "repeats": identities.repeats - before,
            }
            shards.append(self.unified.stage(_final_key(key, samples), samples, stats))
        return shards

    def commit(self, shards: list[Shard]) -> tuple[StageResult, StageResult]:
        """Publish the pictures first, then the samples that refer to them."""
        pictures, base = self.image_shards, self.unified.base
        notes = {"measure_version": MEASURE_VERSION, "raw_version": self.raw.version}
        referenced = self._referenced(shards)
        images = publish(
            self.images,
            pictures,
            rows_in=self.pictures_in,
            run_id=self.run_id,
            engine=self.platform.settings.contracts,
            inputs={"raw": self.raw.data_version},
            made_by=code_version(IMAGES.version, MEASURE_VERSION),
            notes={"measure_version": MEASURE_VERSION, "referenced": len(referenced)},
            data_version=self._images_version(pictures, referenced, shards),
        )
        unified = publish(
            self.unified,
            shards,
            rows_in=sum(s.stats["records"] for s in shards),
            run_id=self.run_id,
            engine=self.platform.settings.contracts,
            inputs={"raw": self.raw.data_version, "images": images.published.data_version},
            made_by=unified_version(),
            notes=notes | _totals(shards),
            references={"images": referenced & self._stored(images.published)},
            # Else each run to come would read all again, to see once more that no verdict changed.
            restated=base is not None and base.notes["measure_version"] != MEASURE_VERSION,
        )
        for folder in ("_drafts/unified", "_plans/unified", "_plans/images"):
            self.platform.store.objects.delete_prefix(f"{folder}/{self.source.name}/")
        return images, unified

    def _run(self, table: str, tasks: list[Task], phase: str, timeout: float, on_death: OnDeath) -> None:
        tell = self.on_progress
        run_plan(
            self.platform.store.root,
            Plan(table, self.source.name, tuple(tasks)),
            workers=self.platform.settings.workers,
            timeout_s=timeout,
            on_death=on_death,
            on_progress=None if tell is None else lambda done, total: tell(phase, done, total),
        )

    def _draft(self, key: str) -> pa.Table:
        draft = load_draft(self.platform.store.objects, self.source.name, key)
        if draft is None:
            raise self.unified.gone(f"draft {key}")
        return draft

    def _wanted(self, known: set[str]) -> Iterator[Wanted]:
        """Pictures of new drafts in order of first reference, without those in ``known``."""
        seen = set(known)
        for key in self.keys:
            if key in self.reuse:
                continue
            piece = asdict(self.slices[key])
            for row in self._draft(key).column("media").to_pylist():
                for medium in row:
                    if medium["kind"] != "image":
                        continue
                    if medium["embedded"]:
                        found = Wanted(medium["image_id"], "embedded", medium["ref"], 0, piece)
                    else:
                        file = self.index.find(medium["ref"], "image")
                        if not isinstance(file, MediaFile):
                            continue
                        found = Wanted(file.content_hash, file.root, file.path, file.bytes)
                    if found.image_id not in seen:
                        seen.add(found.image_id)
                        yield found

    def _verdicts(self) -> dict[str, tuple[str, str | None] | None]:
        """What is wrong with each picture of the source that is not fit to keep."""
        found: dict[str, tuple[str, str | None] | None] = {}
        with self.images.preview(self.image_shards) as dataset:
            bad = dataset.to_table(columns=["image_id", "reason", "detail"], filter="verdict != 'keep'")
        for row in bad.to_pylist():
            found[row["image_id"]] = (row["reason"], row["detail"])
        return found

    def _identities(self) -> Identities:
        """Ids go on from those of the shards that stay.

        Raises:
            RepeatedRecord: if equal records were numbered and the order of the shards changed.
        """
        base = self.unified.base
        if base is None or not self.reuse:
            return Identities(self.source.name, set(), in_order=True)
        stay = list(self.reuse)
        in_order = self.keys[: len(stay)] == stay == [s.stats["draft"] for s in base.shards[: len(stay)]]
        if not in_order and any(s.stats["repeats"] for s in base.shards):
            raise RepeatedRecord("the order of repeated records changed")
        given: set[str] = set()
        for shard in self.reuse.values():
            given.update(base.read_shard(shard, ["sample_id"]).column("sample_id").to_pylist())
        return Identities(self.source.name, given, in_order)

    def _referenced(self, shards: list[Shard]) -> frozenset[str]:
        with self.unified.preview(shards) as dataset:
            batches = dataset.to_batches(columns=["image_ids"])
            return frozenset(i for b in batches for i in pc.unique(pc.list_flatten(b.column(0))).to_pylist())

    def _stored(self, images: Published) -> frozenset[str]:
        return frozenset(images.read(["image_id"]).column("image_id").to_pylist())

    def _images_version(self, pictures: list[Shard], referenced: frozenset[str], samples: list[Shard]) -> str:
        """The data version of ``images``: of the pictures that samples refer to, whatever else lies there.

        Pictures are appended and never rewritten, so what the table holds depends on its history; what it
        says about the samples of today does not.
        """
        before, base = self.images.base, self.unified.base
        if (
            before is not None
            and base is not None
            and base.inputs["images"] == before.data_version
            and _keys(before.shards) == _keys(pictures)
            and _keys(base.shards) == _keys(samples)
        ):
            return before.data_version
        names = [n for n in IMAGES.schema.names if n not in IMAGES.digest_exclude]
        wanted = pa.array(sorted(referenced), pa.string())
        total, rows = digests.ZERO, 0
        with self.images.preview(pictures) as dataset:
            for batch in dataset.to_batches(columns=names):
                table = pa.Table.from_batches([batch])
                table = table.filter(pc.is_in(table.column("image_id"), wanted))
                total = total + digests.row_digests(table).sum(axis=0, dtype=np.uint32)
                rows += table.num_rows
        return digests.data_version(IMAGES.name, IMAGES.version, rows, digests.to_hex(total))


def _keys(shards: Sequence[Shard]) -> list[str]:
    return [s.key for s in shards]


def _read_again(task: Task, why: str) -> Sequence[Task]:
    piece = task.payload["slice"]
    raise RuntimeError(
        f"{piece['file']} from byte or row {piece['start']}: {why}; run again, or report the file"
    )


def _final_key(draft: str, samples: pa.Table) -> str:
    ids = "\n".join(samples.column("sample_id").to_pylist())
    decided = [samples.column(name).to_pylist() for name in ("reason", "detail")]
    return digests.key_of(
        "unified", FINAL_VERSION, draft, blake3.blake3(f"{ids}\n{decided!r}".encode()).hexdigest()
    )


def _stats(samples: pa.Table) -> dict[str, Any]:
    languages = Counter(samples.column("language").to_pylist())
    return verdict_stats(samples, UNIFIED.key) | {
        "languages": {k or "und": n for k, n in sorted(languages.items(), key=str)},
        "tokens": sum(pc.sum(samples.column(c)).as_py() or 0 for c in ("question_tokens", "answer_tokens")),
    }


def _totals(shards: Sequence[Shard]) -> dict[str, Any]:
    languages: Counter[str] = Counter()
    for shard in shards:
        languages.update(shard.stats["languages"])
    return {
        "languages": dict(sorted(languages.items())),
        "tokens": sum(s.stats["tokens"] for s in shards),
    }
