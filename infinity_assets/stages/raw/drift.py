"""Whether upstream has other files than the published ``raw``, by names, sizes and times; no byte is read."""

from __future__ import annotations

from infinity_assets.sources.catalogue import Source
from infinity_assets.stages.raw.schema import RAW
from infinity_assets.stages.raw.stage import roots_of
from infinity_assets.store.digests import key_of
from infinity_assets.store.tables import Store


def drifted(store: Store, source: Source) -> str | None:
    """What to call the files that upstream lists now, where ``raw`` was made of others; None where not.

    A file of the same name, size and time counts as the same: only reading all bytes tells more, which
    ``raw`` does. One that was touched counts as changed; ``raw`` then finds it equal and commits nothing.

    Raises:
        SourceError: if the location cannot be listed.
    """
    listed = sorted(
        (root, file.path, file.bytes, file.modified or 0, file.error is not None)
        for root, file in roots_of(source).list()
    )
    known = store.published(RAW, source.name)
    if known is not None:
        rows = known.read(["root", "path", "bytes", "modified", "error"]).to_pylist()
        before = (
            (r["root"], r["path"], r["bytes"], r["modified"] or 0, r["error"] is not None) for r in rows
        )
        if sorted(before) == listed and known.inputs["revision"] == (source.spec.revision or ""):
            return None
    return key_of("listed", listed, source.spec.revision)
