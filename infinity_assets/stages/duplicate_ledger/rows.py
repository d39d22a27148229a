"""From edges and the decision to rows of the ledger, source by source and shard by shard."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import blake3
import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from infinity_assets.stages.duplicate_ledger import schema as s
from infinity_assets.stages.duplicate_ledger.decide import Decision, decide
from infinity_assets.stages.duplicate_ledger.edges import Groups, NearPairs, edge_frame
from infinity_assets.stages.duplicate_ledger.keys import NONE, Rows, hex_of, keys_of_hex, rows_in
from infinity_assets.stages.duplicate_ledger.narrow import NarrowSamples
from infinity_assets.stages.duplicate_ledger.policy import DuplicatePolicy
from infinity_assets.stages.duplicate_ledger.samples import Pictures, Samples
from infinity_assets.stages.duplicate_ledger.shared import Shared

_IDENTITY = ["kind", "later", "earlier", "image", "other_image"]


def decided(
    groups: Groups, near: NearPairs, shared: Shared, barred: npt.NDArray[np.bool_], policy: DuplicatePolicy
) -> tuple[Decision, pl.DataFrame]:
    """What the policy makes of the edges: who yields to whom, and the edge by which each does.

    Returns:
        The decision, and its edges (see :data:`~.edges.EDGE_SCHEMA`), one for each sample that drops.
    """
    dropping = policy.dropping
    whole = groups.content
    if s.NEAR_PAIR in dropping:
        whole = groups.pair
    if s.SHARED_TURNS in dropping:
        whole = groups.talk
    if s.EXACT_PAIR not in dropping:
        whole = np.arange(len(whole))
    later, earlier = np.empty(0, np.int64), np.empty(0, np.int64)
    kinds: list[npt.NDArray[np.uint8]] = []
    distances: list[npt.NDArray[np.float64]] = []
    if s.NEAR_PAIR in dropping:
        later = np.concatenate((near.later, near.earlier))
        earlier = np.concatenate((near.earlier, near.later))
        kinds.append(np.full(len(later), s.KINDS.index(s.NEAR_PAIR), np.uint8))
        distances.append(1 - np.concatenate((near.similarity, near.similarity)))
    if s.SHARED_TURNS in dropping:
        later = np.concatenate((later, shared.contained))
        earlier = np.concatenate((earlier, shared.container))
        kinds.append(np.full(len(shared.contained), s.KINDS.index(s.SHARED_TURNS), np.uint8))
        distances.append(np.zeros(len(shared.contained)))
    decision = decide(whole, whole[later], whole[earlier], barred)
    gone = np.flatnonzero(decision.winner != NONE)
    winner, edge = decision.winner[gone], decision.edge[gone]
    inside = _kind_inside(groups, gone, winner, dropping)
    kind = np.where(edge == NONE, inside, np.concatenate([*kinds, [0]])[edge])
    distance = np.where(edge == NONE, 0.0, np.concatenate([*distances, [0.0]])[edge])
    frame = edge_frame(s.EXACT_PAIR, gone, winner, distance)
    return decision, frame.with_columns(pl.Series("kind", kind.astype(np.uint8)))


def _kind_inside(
    groups: Groups, sample: Rows, winner: Rows, dropping: frozenset[str]
) -> npt.NDArray[np.uint8]:
    """How two samples of one group are equal: the strictest way that drops."""
    kind = np.full(len(sample), s.KINDS.index(s.SHARED_TURNS), np.uint8)
    if s.NEAR_PAIR in dropping:
        kind[groups.pair[sample] == groups.pair[winner]] = s.KINDS.index(s.NEAR_PAIR)
    kind[groups.content[sample] == groups.content[winner]] = s.KINDS.index(s.EXACT_PAIR)
    return kind


@dataclass(frozen=True, slots=True)
class Barred:
    """Whom nobody yields to."""

    by: npt.NDArray[np.int8]  #: ``(samples,)``, index into ``causes``, NONE for nothing
    causes: tuple[str, ...]  #: reason codes

    @property
    def mask(self) -> npt.NDArray[np.bool_]:
        """``(samples,)``."""
        mask: npt.NDArray[np.bool_] = self.by != NONE
        return mask


def ledger_edges(
    samples: Samples, edges: pl.DataFrame, deciding: pl.DataFrame, barred: Barred
) -> pl.DataFrame:
    """All edges, each once, with ``decides`` and ``barred_by`` of the earlier one, and in the ledger's order.

    An edge that decides takes the place of the same one that was measured, and of the mention that another
    sample shows the same pictures: clusters are of samples that stay. Rows are sorted by source, place in
    ``unified`` and kind, and carry ``source`` and ``row``.
    """
    shows = pl.col("kind") == s.KINDS.index(s.SAME_PICTURES)
    edges = edges.filter(~(shows & pl.col("later").is_in(deciding["later"].implode())))
    could_drop = [s.KINDS.index(kind) for kind in (s.EXACT_PAIR, s.NEAR_PAIR, s.SHARED_TURNS)]
    told = pl.col("kind").is_in(could_drop) & (pl.col("distance") < 1) & ~pl.col("decides")
    both = pl.concat(
        [deciding.with_columns(decides=pl.lit(True)), edges.with_columns(decides=pl.lit(False))]
    ).unique(_IDENTITY, keep="first", maintain_order=True)
    later, earlier = both["later"].to_numpy(), both["earlier"].to_numpy()
    return both.with_columns(
        source=samples.source[later],
        row=samples.row[later],
        # A barred winner is worth a word where it might have dropped the sample.
        barred_by=pl.when(told).then(pl.Series(barred.by[earlier])).otherwise(pl.lit(NONE, pl.Int8)),
    ).sort("source", "row", *_IDENTITY)


def pieces(
    samples: Samples,
    pictures: Pictures,
    edges: pl.DataFrame,
    causes: Sequence[str],
    source: int,
    rows: Sequence[int],
) -> Iterator[tuple[Rows, pa.Table]]:
    """The edges of one source, cut as ``unified`` is: the row of each within its shard, and the table.

    Args:
        edges: from :func:`ledger_edges`.
        source: index into ``samples.sources``.
        rows: how many rows each shard of ``unified`` has.
    """
    order = edges["source"].to_numpy()
    low, high = np.searchsorted(order, [source, source + 1])
    own = edges.slice(low, high - low)
    row = own["row"].to_numpy()
    table = to_table(samples, pictures, own, causes)
    starts = np.cumsum(rows) - rows
    ends = np.searchsorted(row, np.cumsum(rows))
    start = 0
    for first, end in zip(starts.tolist(), ends.tolist(), strict=True):
        yield row[start:end] - first, table.slice(start, end - start)
        start = end


def mended(
    published: pa.Table, row: Rows, edges: pa.Table, shard: NarrowSamples, again: npt.NDArray[np.bool_]
) -> pa.Table | None:
    """The edges of a shard when some of its samples were decided again; None where nothing came of it.

    Args:
        published: its edges before.
        row: of each of ``edges``, within the shard of ``unified``.
        edges: those of the samples that were decided again.
        shard: the samples.
        again: which of them were decided again.
    """
    head = pc.utf8_slice_codeunits(published.column("sample_id"), -32)
    place = rows_in(keys_of_hex(head), shard.ids)
    if published.take(pa.array(np.flatnonzero(again[place]))).equals(edges):
        return None
    stays = np.flatnonzero(~again[place])
    joined = pa.concat_tables([published.take(pa.array(stays)), edges])
    order = np.argsort(np.concatenate((shard.row[place[stays]], row)), kind="stable")
    return joined.take(pa.array(order))


def content_key(table: pa.Table) -> str:
    """Of everything that the rows say, in their order."""
    hasher = blake3.blake3(table.num_rows.to_bytes(8, "little"))
    for name in table.schema.names:
        column = table.column(name).combine_chunks()
        hasher.update(np.packbits(_values(pc.is_null(column))).tobytes())
        if pa.types.is_string(column.type):
            filled = pc.fill_null(column, "")
            hasher.update(_values(pc.binary_length(filled)).tobytes())
            hasher.update(_text(filled))
        else:
            hasher.update(_values(pc.fill_null(column, False if column.type == pa.bool_() else 0)).tobytes())
    return hasher.hexdigest(length=16)


def _values(column: pa.Array) -> npt.NDArray[Any]:
    values: npt.NDArray[Any] = column.to_numpy(zero_copy_only=False)
    return values


def _text(column: pa.StringArray) -> memoryview:
    """All strings, one behind the other; there are no nulls."""
    _, ends, data = column.buffers()
    at = np.frombuffer(ends, np.int32, len(column) + 1, 4 * column.offset) if len(column) else (0, 0)
    return memoryview(data or b"")[at[0] : at[-1]]


def to_table(samples: Samples, pictures: Pictures, edges: pl.DataFrame, causes: Sequence[str]) -> pa.Table:
    """Edges as rows of ``duplicate_ledger``."""
    later, earlier = edges["later"].to_numpy(), edges["earlier"].to_numpy()
    image, other = edges["image"].to_numpy(), edges["other_image"].to_numpy()
    names = pl.Series(samples.sources, dtype=pl.String)
    frame = pl.DataFrame(
        {
            "kind": pl.Series(s.KINDS)[edges["kind"].cast(pl.UInt32)],
            "distance": edges["distance"],
            "score": edges["score"],
            "later_hex": pl.Series(pl.from_arrow(hex_of(samples.ids[later]))),
            "earlier_hex": pl.Series(pl.from_arrow(hex_of(samples.ids[earlier]))),
            "source": names[samples.source[later]],
            "winner_source": names[samples.source[earlier]],
            "image_id": _image_ids(pictures, image),
            "winner_image_id": _image_ids(pictures, other),
            "decides": edges["decides"],
            "detail": _details(edges, causes),
        }
    ).with_columns(
        sample_id=pl.format("{}-{}", "source", "later_hex"),
        winner_id=pl.format("{}-{}", "winner_source", "earlier_hex"),
    )
    edge = pl.format("{}:{}:{}", "kind", "sample_id", "winner_id")
    shown = pl.format("{}:{}:{}", edge, "image_id", "winner_image_id")
    frame = frame.with_columns(edge_id=pl.coalesce(shown, edge))
    return frame.select(s.DUPLICATE_LEDGER.schema.names).to_arrow().cast(s.DUPLICATE_LEDGER.schema)


def _details(edges: pl.DataFrame, causes: Sequence[str]) -> pl.Series:
    told = [f"the other is dropped itself: {cause}" for cause in causes]
    return edges["barred_by"].replace_strict(
        list(range(len(told))), told, default=None, return_dtype=pl.String
    )


def _image_ids(pictures: Pictures, places: Rows) -> pl.Series:
    found = np.full(len(places), None, object)
    known = np.flatnonzero(places != NONE)
    found[known] = hex_of(pictures.ids[places[known]]).to_numpy(zero_copy_only=False)
    return pl.Series(found.tolist(), dtype=pl.String)
