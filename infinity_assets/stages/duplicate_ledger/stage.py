"""Materializing ``duplicate_ledger``: all samples compared, each source's slice committed on its own.

The ledger of one source depends on all others, so the computation is the same whoever asks, and idempotent. A
source that failed takes part with its last published version; one that was never published takes no part.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from infinity_assets.errors import CommitConflict
from infinity_assets.models.copies import CopyDetector
from infinity_assets.platform import Platform
from infinity_assets.sharding.pool import end_workers
from infinity_assets.stages.duplicate_ledger.compare import Comparison, Inputs, compare
from infinity_assets.stages.duplicate_ledger.keys import Keys, hex_of, keys_of_hex
from infinity_assets.stages.duplicate_ledger.known import recall, remember
from infinity_assets.stages.duplicate_ledger.narrow import forget_others, shard_name
from infinity_assets.stages.duplicate_ledger.rows import content_key, mended, pieces
from infinity_assets.stages.duplicate_ledger.schema import DUPLICATE_LEDGER, KINDS
from infinity_assets.stages.duplicate_ledger.versions import LEDGER_VERSION, MADE_BY
from infinity_assets.stages.duplicate_ledger.world import Before
from infinity_assets.stages.images.schema import IMAGES
from infinity_assets.stages.publish import StageResult, code_version, keep_policy, publish, verdict_stats
from infinity_assets.stages.unified.schema import UNIFIED
from infinity_assets.store.digests import add, key_of, table_digest
from infinity_assets.store.tables import Published, Shard, Transaction

#: Where the state in which every slice was up to date is remembered: a backfill compares once, not once for
#: each source. It names the slices too, so that a slice published by an older comparison voids it.
SETTLED = "_ledger/settled"

#: Beside it, the samples that later stages had dropped then.
DROPPED = "dropped"

#: How often the whole is computed again when another run published a slice meanwhile.
TRIES = 5

#: Columns by which a sample drops, or is known to stay in place of another.
DECISIONS = ["sample_id", "winner_id", "kind", "distance", "decides", "detail"]


def materialize_duplicate_ledger(
    platform: Platform, source: str, run_id: str
) -> tuple[StageResult, dict[str, StageResult]]:
    """Publish the slices of the ledger that changed.

    Returns:
        The result of ``source``, and the results of other sources whose slice changed with it.

    Raises:
        StoreError: if ``unified`` of the source was never published.
        CommitConflict: if other runs kept winning.
    """
    platform.store.require(UNIFIED, source)
    results: dict[str, StageResult] = {}
    for attempt in range(TRIES):
        try:
            _publish_slices(platform, source, run_id, results)
            break
        except CommitConflict:
            if attempt == TRIES - 1:
                raise
    return results.pop(source), results


def moved(platform: Platform) -> str | None:
    """A name for what moved under the compared sources since they were compared; None where nothing did.

    That is what later stages drop, the policy, and the catalogue: not the samples, since a source that was
    read and never compared waits for the run that compares it.
    """
    settled = _settled(platform)
    if settled is None:
        return None
    rest = _Now(platform).rest(settled["sources"])
    return None if rest == settled["rest"] else rest


def _settled(platform: Platform) -> Mapping[str, Any] | None:
    found = platform.store.objects.get(SETTLED)
    try:
        value = json.loads(found) if found is not None else None
    except ValueError:
        return None
    keys = {"state", "rest", "sources", "rules", "order", "slices", "unified", "images"}
    return value if isinstance(value, dict) and keys <= value.keys() else None


class _Now:
    """What is published now: everything that the slices follow from."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        store = platform.store
        found = {name: store.published(UNIFIED, name) for name in platform.catalogue}
        self.present = {name: table for name, table in found.items() if table is not None}
        self.dropped = {name: platform.dropped_later(name) for name in self.present}
        self.inputs = {f"unified/{name}": table.data_version for name, table in self.present.items()}
        self.inputs |= {f"filtered/{name}": table_digest(t) for name, t in self.dropped.items() if t.num_rows}
        self.inputs["policy"] = key_of(
            platform.policy.duplicates.hash, platform.policy.licences.model_dump_json(exclude={"source"})
        )
        named = platform.settings.copy_detector
        self.copies = CopyDetector(named) if named is not None else None
        if self.copies is not None:
            self.inputs["copy_detector"] = self.copies.key

    def state(self, slices: Mapping[str, str | None]) -> str:
        """A key of everything that the slices follow from, and of the slices."""
        rest = self.rest(list(self.present))
        return key_of("settled", rest, sorted(self.inputs.items()), sorted(slices.items()))

    def rest(self, sources: Sequence[str]) -> str:
        """A key of all but the samples, as far as it concerns these sources."""
        names = {f"filtered/{n}" for n in sources}
        inputs = sorted((k, v) for k, v in self.inputs.items() if k in names)
        return key_of("rest", self.rules, sorted(self.order(sources).items()), inputs)

    @cached_property
    def rules(self) -> str:
        """A key of what decides of samples, whatever they are."""
        named = [self.copies.key] if self.copies else []
        return key_of("rules", MADE_BY, self.inputs["policy"], *named)

    def order(self, sources: Sequence[str]) -> dict[str, list[object]]:
        """What the catalogue decides of each source that it has."""
        specs = {n: self.platform.catalogue[n].spec for n in sources if n in self.platform.catalogue}
        return {n: [spec.priority, spec.category] for n, spec in specs.items()}

    @cached_property
    def unified(self) -> dict[str, Published]:
        """The sources that take part.

        Evaluation items are left out: a benchmark neither drops a training sample here nor is dropped;
        meeting one is contamination, which is another question.
        """
        specs = {n: self.platform.catalogue[n].spec for n in self.present}
        return {n: table for n, table in self.present.items() if specs[n].category != "evaluation"}

    @cached_property
    def images(self) -> dict[str, Published]:
        """Their pictures."""
        found = {n: self.platform.store.published(IMAGES, n) for n in self.unified}
        return {n: table for n, table in found.items() if table is not None}

    @cached_property
    def barred(self) -> dict[str, tuple[str, Keys]]:
        """Ids that a later stage drops, by cause and source."""
        found = {}
        for name in self.unified:
            table = self.dropped[name]
            for reason in pc.unique(table.column("reason")).to_pylist():
                ids = table.filter(pc.equal(table.column("reason"), reason)).column("sample_id")
                hexes = pc.utf8_slice_codeunits(ids, len(name) + 1)
                found[f"{reason}/{name}"] = (name, keys_of_hex(hexes))
        return found

    def settle(self, slices: Mapping[str, str | None], cut: Mapping[str, Sequence[str]]) -> None:
        """Remember that the slices are in line with everything, and what that was.

        Args:
            slices: data version of each.
            cut: for each shard of ``unified`` the key of the ledger's, or nothing where that has no edge.
        """
        names, objects, state = sorted(self.present), self.platform.store.objects, self.state(slices)
        unified = {
            name: [shard_name(shard) for shard in table.shards] for name, table in self.unified.items()
        }
        images = {name: [shard_name(shard) for shard in table.shards] for name, table in self.images.items()}
        ids = {cause: pa.table({"id": hex_of(keys)}) for cause, (_, keys) in self.barred.items()}
        remember(objects, DROPPED, state, ids)
        value = {
            "state": state,
            "rest": self.rest(names),
            "sources": names,
            "rules": self.rules,
            "order": self.order(names),
            "slices": slices,
            "unified": {name: dict(zip(found, cut[name], strict=True)) for name, found in unified.items()},
            "images": images,
        }
        objects.put(SETTLED, json.dumps(value).encode())
        forget_others(
            objects, {name for tables in (unified, images) for found in tables.values() for name in found}
        )

    def before(
        self, settled: Mapping[str, Any] | None, slices: Mapping[str, Published | None]
    ) -> Before | None:
        """What the slices that are published now follow from; None where that is not known.

        Sources may have come and gone since. Under other rules every sample may be decided in another way.
        """
        if settled is None or settled["rules"] != self.rules:
            return None
        unified = dict(settled["unified"])
        for name, order in self.order(settled["sources"]).items():
            table = slices.get(name)
            version = table.data_version if table is not None else None
            if order != settled["order"][name] or version != settled["slices"][name]:
                return None
            # A slice that is cut otherwise and says the same is not published again.
            there = {"", *(shard.key for shard in table.shards)} if table is not None else {""}
            unified[name] = {k: key for k, key in unified.get(name, {}).items() if key in there}
        found = recall(self.platform.store.objects, DROPPED, settled["state"])
        if found is None:
            return None
        dropped = {cause: (cause.partition("/")[2], keys_of_hex(t["id"])) for cause, t in found.items()}
        return Before(unified, settled["images"], dropped)

    def compared(self, before: Before | None) -> Comparison:
        """Everything compared, and what is connected with a change decided again."""
        platform = self.platform
        priority = {n: platform.catalogue[n].spec.priority for n in self.unified}
        inputs = Inputs(self.unified, self.images, priority, self._licence, self.barred, before, self.copies)
        workers = platform.settings.workers
        if workers == 1:  # it would wait: what is compared is spread over several, or done here
            end_workers(workers)
        return compare(inputs, platform.policy.duplicates, platform.store.objects, workers)

    def _licence(self, licence: str) -> str | None:
        found = self.platform.policy.licences.finding(licence)
        return found[0] if found is not None and found[1] == "drop" else None


def _publish_slices(platform: Platform, source: str, run_id: str, results: dict[str, StageResult]) -> None:
    """One attempt; what it publishes before a conflict is in ``results`` all the same."""
    store = platform.store
    now = _Now(platform)
    transactions = {name: store.begin(DUPLICATE_LEDGER, name) for name in now.present}
    versions = {name: t.base.data_version if t.base else None for name, t in transactions.items()}
    settled = _settled(platform)
    found = before = None
    if settled is None or settled["state"] != now.state(versions):
        before = now.before(settled, {name: t.base for name, t in transactions.items()})
        found = now.compared(before)
    cut: dict[str, list[str]] = {}
    for name, transaction in transactions.items():
        base = transaction.base
        if found is None:
            if name != source or base is None:
                continue
            shards, notes = list(base.shards), {}
        else:
            known = before.unified.get(name, {}) if before is not None else {}
            shards = _shards(transaction, found, now.present[name], known)
            cut[name] = [shard.key if shard.rows else "" for shard in shards]
            if (
                base is not None
                and name != source
                and [s.key for s in base.shards] == [s.key for s in shards]
            ):
                continue
            notes = dict(found.notes)
        results[name] = publish(
            transaction,
            shards,
            rows_in=sum(shard.rows for shard in shards),
            run_id=run_id,
            engine=platform.settings.contracts,
            inputs=now.inputs,
            made_by=code_version(DUPLICATE_LEDGER.version, *MADE_BY),
            notes=notes | {"kinds": _kinds(shards), "decisions": decisions(shards)},
        )
        versions[name] = results[name].published.data_version
    keep_policy(store, now.inputs["policy"], platform.policy.duplicates.model_dump(mode="json"))
    if found is not None:
        now.settle(versions, cut)


def decisions(shards: Sequence[Shard]) -> str:
    """A digest of the rows that verdicts follow from: the other edges of a slice may come and go."""
    return add([shard.stats["decisions"] for shard in shards])


def _shards(
    transaction: Transaction, found: Comparison, unified: Published, before: Mapping[str, str]
) -> list[Shard]:
    """The slice of a source, cut as ``unified`` is: only shards whose edges changed are written.

    Args:
        before: by name of a shard of ``unified``: the key of its published edges; nothing where it has none.
    """
    name, base = transaction.partition, transaction.base
    if name not in found.samples.sources:
        return []
    published = {shard.key: shard for shard in base.shards} if base is not None else {}
    place = found.samples.sources.index(name)
    rows = [shard.rows for shard in unified.shards]
    cut = pieces(found.samples, found.pictures, found.edges, found.barred.causes, place, rows)
    shards = []
    for part, samples, again, (row, edges) in zip(
        unified.shards, found.shards[name], found.again[name], cut, strict=True
    ):
        old = published.get(before.get(samples.name, ""))
        table = edges
        if old is not None and base is not None and not again.all():
            anew = mended(base.read_shard(old), row, edges, samples.columns, again) if again.any() else None
            if anew is None:
                shards.append(old)
                continue
            table = anew
        key = key_of(DUPLICATE_LEDGER.name, LEDGER_VERSION, part.key, content_key(table))
        shard = transaction.have(key)
        if shard is None:
            shard = transaction.stage(key, table, _stats(table))
        shards.append(shard)
    return shards


def _stats(table: pa.Table) -> dict[str, object]:
    told = pc.or_(table.column("decides"), pc.is_valid(table.column("detail")))
    counts = pc.value_counts(table.column("kind")).to_pylist()
    return verdict_stats(table, DUPLICATE_LEDGER.key) | {
        "decisions": table_digest(table.filter(told).select(DECISIONS)),
        "kinds": {entry["values"]: entry["counts"] for entry in counts},
        "winner_sources": sorted(pc.unique(table.column("winner_source")).to_pylist()),
    }


def _kinds(shards: Sequence[Shard]) -> dict[str, int]:
    """Edges by kind."""
    total: Counter[str] = Counter()
    for shard in shards:
        total.update(shard.stats["kinds"])
    return {kind: total[kind] for kind in KINDS if total[kind]}
