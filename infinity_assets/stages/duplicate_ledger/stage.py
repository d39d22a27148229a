"""Materializing ``duplicate_ledger``: all samples compared, each source's slice committed on its own.

The ledger of one source depends on all others, so the computation is the same whoever asks, and idempotent. A
source that failed takes part with its last published version; one that was never published takes no part.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from infinity_assets.errors import CommitConflict
from infinity_assets.platform import Platform
from infinity_assets.stages.duplicate_ledger.compare import Comparison, Inputs, compare
from infinity_assets.stages.duplicate_ledger.keys import keys_of_hex
from infinity_assets.stages.duplicate_ledger.rows import pieces, to_table
from infinity_assets.stages.duplicate_ledger.schema import DUPLICATE_LEDGER, KINDS
from infinity_assets.stages.duplicate_ledger.versions import LEDGER_VERSION, MADE_BY
from infinity_assets.stages.images.schema import IMAGES
from infinity_assets.stages.publish import StageResult, code_version, keep_policy, publish, verdict_stats
from infinity_assets.stages.unified.schema import UNIFIED
from infinity_assets.store.digests import add, key_of, table_digest
from infinity_assets.store.tables import Published, Shard, Transaction

#: Where the state in which every slice was up to date is remembered: a backfill compares once, not once for
#: each source. It names the slices too, so that a slice published by an older comparison voids it.
SETTLED = "_ledger/settled"

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
    keys = {"state", "rest", "sources"}
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

    def state(self, slices: Mapping[str, str | None]) -> str:
        """A key of everything that the slices follow from, and of the slices."""
        rest = self.rest(list(self.present))
        return key_of("settled", rest, sorted(self.inputs.items()), sorted(slices.items()))

    def rest(self, sources: Sequence[str]) -> str:
        """A key of all but the samples, as far as it concerns these sources."""
        catalogue = self.platform.catalogue
        specs = [(n, catalogue[n].spec) for n in sorted(sources) if n in catalogue]
        order = [(n, spec.priority, spec.category) for n, spec in specs]
        names = {"policy", *(f"filtered/{n}" for n in sources)}
        inputs = sorted((k, v) for k, v in self.inputs.items() if k in names)
        return key_of("rest", MADE_BY, order, inputs)

    def settle(self, slices: Mapping[str, str | None]) -> None:
        """Remember that the slices are in line with everything."""
        names = sorted(self.present)
        value = {"state": self.state(slices), "rest": self.rest(names), "sources": names}
        self.platform.store.objects.put(SETTLED, json.dumps(value).encode())

    def compared(self) -> Comparison:
        """Everything compared.

        Evaluation items are left out: a benchmark neither drops a training sample here nor is dropped;
        meeting one is contamination, which is another question.
        """
        platform = self.platform
        specs = {n: platform.catalogue[n].spec for n in self.present}
        taking = {n: table for n, table in self.present.items() if specs[n].category != "evaluation"}
        images = {n: table for n in taking if (table := platform.store.published(IMAGES, n)) is not None}
        dropped = {}
        for name in taking:
            table = self.dropped[name]
            for reason in pc.unique(table.column("reason")).to_pylist():
                ids = table.filter(pc.equal(table.column("reason"), reason)).column("sample_id")
                hexes = pc.utf8_slice_codeunits(ids, len(name) + 1)
                dropped[f"{reason}/{name}"] = (name, keys_of_hex(hexes))
        priority = {n: spec.priority for n, spec in specs.items()}
        inputs = Inputs(taking, images, priority, self._licence, dropped)
        settings = platform.settings
        return compare(inputs, platform.policy.duplicates, platform.store.objects, settings.workers)

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
    found = None if settled and settled["state"] == now.state(versions) else now.compared()
    for name, transaction in transactions.items():
        base = transaction.base
        if found is None:
            if name != source or base is None:
                continue
            shards, notes = list(base.shards), {}
        else:
            shards = _shards(transaction, found, now.present[name])
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
            inputs=now.inputs,
            made_by=code_version(DUPLICATE_LEDGER.version, *MADE_BY),
            notes=notes | {"kinds": _kinds(shards), "decisions": decisions(shards)},
        )
        versions[name] = results[name].published.data_version
    keep_policy(store, now.inputs["policy"], platform.policy.duplicates.model_dump(mode="json"))
    now.settle(versions)


def decisions(shards: Sequence[Shard]) -> str:
    """A digest of the rows that verdicts follow from: the other edges of a slice may come and go."""
    return add([shard.stats["decisions"] for shard in shards])


def _shards(transaction: Transaction, found: Comparison, unified: Published) -> list[Shard]:
    """The slice of a source, cut as ``unified`` is: only shards whose edges changed are written."""
    name = transaction.partition
    if name not in found.samples.sources:
        return []
    place = found.samples.sources.index(name)
    rows = [shard.rows for shard in unified.shards]
    shards = []
    cut = pieces(found.samples, found.pictures, found.edges, found.barred.causes, place, rows)
    for part, piece in zip(unified.shards, cut, strict=True):
        key = key_of(DUPLICATE_LEDGER.name, LEDGER_VERSION, part.key, piece.digest)
        shard = transaction.have(key)
        if shard is None:
            table = to_table(found.samples, found.pictures, piece.edges, found.barred.causes)
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
