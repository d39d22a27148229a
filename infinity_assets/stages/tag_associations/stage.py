"""Materializing ``tag_associations`` from the pinned seed set: nothing else makes it stale."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from infinity_assets.errors import CatalogueError, StoreError
from infinity_assets.quality.audit import CheckResult
from infinity_assets.stages.publish import StageResult, code_version, publish, verdict_stats
from infinity_assets.stages.tag_associations.associate import ASSOCIATION_VERSION, TAGGED_COLUMNS, associate
from infinity_assets.stages.tag_associations.schema import HIT_RATE_CHECK, TAG_ASSOCIATIONS, WHOLE
from infinity_assets.stages.tagged.schema import TAGGED
from infinity_assets.stages.tagged.taxonomy import load_taxonomy
from infinity_assets.store.digests import key_of
from infinity_assets.store.tables import Published, Store

if TYPE_CHECKING:
    from infinity_assets.platform import Platform

#: The depth at which the check compares: as many instructions as a picture is planned at most by default.
CHECKED_DEPTH: Final = 5
#: Fewer held-out questions say nothing.
MIN_HELD_OUT: Final = 50


def materialize_tag_associations(platform: Platform, run_id: str) -> StageResult:
    """Publish the associations of the seed set that the policy names.

    The data versions that are counted on stand in the manifest. As long as the policy's seed set is the same,
    they stay, whatever is published meanwhile; but a set that a source was missing from, because it failed or
    was yet to be run, is pinned anew once that has tags. Else which sources count would be left to chance.

    Raises:
        CatalogueError: if the seed set names a source that is not there, or a benchmark.
        StoreError: if a pinned version of ``tagged`` is not in the store any more.
    """
    policy, taxonomy = platform.associations, load_taxonomy()
    transaction = platform.store.begin(TAG_ASSOCIATIONS, WHOLE)
    seed_key = key_of("seed", policy.seed.name, policy.seed.revision, sorted(policy.seed.sources.items()))
    base = transaction.base
    if base is not None and base.notes["seed_key"] == seed_key and not _come(platform, base):
        pins: dict[str, list[str | int]] = dict(base.notes["pins"])
        missing: list[str] = base.notes.get("missing", [])
    else:
        pins, missing = _pin(platform)
    versions = {name: str(version) for name, (version, _) in pins.items()}
    key = key_of("associations", ASSOCIATION_VERSION, policy.hash, taxonomy.hash, sorted(versions.items()))
    shard = transaction.have(key)
    if shard is None:
        tables = [pinned(platform.store, name, pin).read(list(TAGGED_COLUMNS)) for name, pin in pins.items()]
        empty = TAGGED.schema.empty_table().select(list(TAGGED_COLUMNS))
        result = associate(pa.concat_tables([empty, *tables]), taxonomy, policy)
        stats = verdict_stats(result.table, TAG_ASSOCIATIONS.key) | {"metrics": result.metrics}
        shard = transaction.stage(key, result.table, stats)
    metrics = dict(shard.stats["metrics"])
    notes = {
        "seed_set": f"{policy.seed.name}@{policy.seed.revision}",
        "seed_key": seed_key,
        "pins": pins,
        "missing": missing,
        "taxonomy": taxonomy.label,
        **metrics,
    }
    return publish(
        transaction,
        [shard],
        rows_in=shard.rows,
        run_id=run_id,
        engine=platform.settings.contracts,
        inputs={f"{TAGGED.name}/{name}": version for name, version in versions.items()},
        made_by=code_version(TAG_ASSOCIATIONS.version, ASSOCIATION_VERSION),
        notes=notes,
        # The pins are part of what is published: equal rows of another seed set are another table.
        data_version=key_of(transaction.data_version([shard]), seed_key, sorted(versions.items())),
        further_checks=[_tells(metrics)],
    )


def _tells(metrics: Mapping[str, float | None]) -> CheckResult:
    ours, baseline = metrics[f"hit_rate@{CHECKED_DEPTH}"], metrics[f"popularity@{CHECKED_DEPTH}"]
    held_out = metrics["held_out"] or 0
    if ours is None or baseline is None or held_out < MIN_HELD_OUT:
        passed, told = False, f"{held_out} held-out questions say nothing; {MIN_HELD_OUT} are needed"
    else:
        passed = ours >= baseline
        told = f"{ours:.3f} by tags against {baseline:.3f} by popularity, among the first {CHECKED_DEPTH}"
    figures = {name: value for name, value in metrics.items() if value is not None and "@" in name}
    return CheckResult(HIT_RATE_CHECK, TAG_ASSOCIATIONS.name, passed, False, told, 0, figures=figures)


def _come(platform: Platform, base: Published) -> bool:
    """Whether a source that was missing from the pinned set has tags now."""
    missing = [name for name in base.notes.get("missing", []) if name in platform.catalogue]
    return any(platform.store.published(TAGGED, name) is not None for name in missing)


def _pin(platform: Platform) -> tuple[dict[str, list[str | int]], list[str]]:
    """Source -> (data version, Lance version) of ``tagged``, as they are now or as the policy states; and the
    sources that have no tags yet, where the policy names none."""
    named = platform.associations.seed.sources
    benchmarks = [n for n in platform.catalogue if platform.catalogue[n].spec.category == "evaluation"]
    for name in named:
        if name not in platform.catalogue or name in benchmarks:
            what = "a benchmark: what it asks must not steer synthesis" if name in benchmarks else "no source"
            raise CatalogueError(f"associations: seed set names {name}, which is {what}")
    pins: dict[str, list[str | int]] = {}
    missing: list[str] = []
    for name in named or [n for n in platform.catalogue if n not in benchmarks]:
        wanted = named.get(name)
        found = platform.store.published(TAGGED, name)
        if found is None and not named:
            missing.append(name)
            continue
        if found is None or (wanted is not None and found.data_version != wanted):
            found = _search(platform.store, name, wanted)
        pins[name] = [found.data_version, found.version]
    if not pins:
        raise StoreError("no source of the seed set has tags yet; materialize tagged first")
    return dict(sorted(pins.items())), sorted(missing)


def _search(store: Store, source: str, wanted: str | None) -> Published:
    latest = store.require(TAGGED, source)
    for version in range(latest.version, 0, -1):
        found = store.past(TAGGED, source, version)
        if found is not None and found.data_version == wanted:
            return found
    raise StoreError(
        f"tagged of {source} was never published with data version {wanted}, or that version was cleaned up;"
        " state another one in associations.yaml and raise the seed set's revision"
    )


def pinned(store: Store, source: str, pin: list[str | int]) -> Published:
    """The table ``tagged`` of a seed source as it was pinned: data version, and where it was last seen."""
    found = store.past(TAGGED, source, int(pin[1]))
    if found is None or found.data_version != pin[0]:
        return _search(store, source, str(pin[0]))
    return found
