"""Finding single rows of a large table: a Lance index on each column that its declaration names for it.

An overwrite drops every index, so a publication builds them again, as a version of its own right behind the
one that it committed. That version has the same rows and the same manifest; a reader of the one before finds
the same rows, later. Where a run dies in between, the next one that publishes the table builds what it lacks.
"""

from __future__ import annotations

from typing import Any, Final

from infinity_assets.store.shards import TableSpec

#: Rows from which on a table is indexed. Below, a whole column is read in a millisecond or two (our choice).
INDEX_ROWS: Final = 20_000
#: Values that a look-up reads of an index. Of Lance's 4,096, half the time goes into values not asked for.
ZONE: Final = 1024


def build_indexes(dataset: Any, spec: TableSpec, rows: int) -> int:
    """Build what is missing; gives the dataset's version after it.

    Another run may publish meanwhile. Then its table is the one to be indexed, by that run, and nothing is
    built here.
    """
    from lance.commit import CommitConflictError
    from lance.indices import IndexConfig

    if rows < INDEX_ROWS:
        return int(dataset.version)
    there = {name for index in dataset.describe_indices() for name in index.field_names}
    for column in spec.lookup:
        if column not in there:
            try:
                dataset.create_scalar_index(column, IndexConfig("btree", {"zone_size": ZONE}))
            except CommitConflictError:
                break
    return int(dataset.version)
