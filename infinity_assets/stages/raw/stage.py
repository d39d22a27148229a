"""Materializing ``raw``: list and hash the source's files, tell what changed, commit the manifest."""

from __future__ import annotations

from infinity_assets.errors import SourceError
from infinity_assets.platform import Platform
from infinity_assets.readers import parse_options
from infinity_assets.sources.catalogue import Source
from infinity_assets.sources.roots import Roots, open_roots
from infinity_assets.stages.publish import StageResult, publish, verdict_stats
from infinity_assets.stages.raw.manifest import build_manifest, diff
from infinity_assets.stages.raw.schema import RAW
from infinity_assets.stages.raw.upstream import upstream_checks
from infinity_assets.store.digests import table_digest

#: How many paths of each kind of change are kept with the version.
SHOWN = 20


def roots_of(source: Source) -> Roots:
    """The roots of a source of the catalogue."""
    reader, _ = parse_options(source.spec.reader)
    return open_roots(source.spec, source.file.parent, reader.patterns)


def materialize_raw(platform: Platform, source: str, run_id: str) -> StageResult:
    """Publish the manifest of a source.

    Raises:
        SourceError: if the location is missing, or has no file at all.
    """
    entry = platform.catalogue[source]
    manifest = build_manifest(roots_of(entry), entry.spec.revision)
    if manifest.num_rows == 0:
        where = f"{entry.spec.location} (`location` in {entry.file.name})"
        raise SourceError(f"{source}: there are no files at {where}")
    transaction = platform.store.begin(RAW, source)
    changes = diff(transaction.base.read() if transaction.base else None, manifest)
    unreadable = manifest.filter(manifest.column("error").is_valid()).column("file_id").to_pylist()
    notes = {
        "bytes": sum(manifest.column("bytes").to_pylist()),
        "unreadable_files": len(unreadable),
        "added": len(changes.added),
        "removed": len(changes.removed),
        "changed": len(changes.changed),
        "paths": {
            "added": list(changes.added[:SHOWN]),
            "removed": list(changes.removed[:SHOWN]),
            "changed": list(changes.changed[:SHOWN]),
        },
    }
    key = table_digest(manifest)
    shard = transaction.stage(key, manifest, verdict_stats(manifest, RAW.key))
    revision, base, licence = entry.spec.revision, transaction.base, entry.spec.licence.id
    same = bool(revision) and base is not None and base.inputs["revision"] == revision
    refusal = platform.policy.licences.finding(licence)
    return publish(
        transaction,
        [shard],
        rows_in=manifest.num_rows,
        run_id=run_id,
        engine=platform.settings.contracts,
        inputs={"revision": revision or ""},
        notes=notes,
        further_checks=upstream_checks(changes, unreadable, same, licence, refusal[0] if refusal else None),
    )
