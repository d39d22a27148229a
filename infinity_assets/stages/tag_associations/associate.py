"""From tagged samples to associations: counts, TF-IDF with instructions as documents, PMI as second opinion.

Infinity-MM (arXiv 2410.18558, section on synthesis) gives the method: image tags are terms, kinds of
instruction are documents. The constants are not published; ours stand in the policy.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from infinity_assets.stages.tag_associations.policy import AssociationPolicy
from infinity_assets.stages.tag_associations.schema import TAG_ASSOCIATIONS
from infinity_assets.stages.tagged.taxonomy import Taxonomy

#: Raised whenever the same seed set and policy would give other associations.
ASSOCIATION_VERSION: Final = 1

#: Columns of ``tagged`` that are read.
TAGGED_COLUMNS: Final = ("sample_id", "image_tags", "instruction_l3")

#: Depths at which the hit rate is told.
DEPTHS: Final = (1, 3, 5, 10)

#: Samples that are held out at most: of 20,000 a rate is known to a third of a per cent.
MAX_HELD_OUT: Final = 20_000

#: Pairs of a tag and an instruction that are looked at together: bounds the memory.
CHUNK: Final = 1 << 20

Codes = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Queries:
    """Samples with what they ask, as codes: an entry for each (sample, leaf) once."""

    leaf: Codes  #: (entries,) index into the leaves
    start: Codes  #: (entries,) where the sample's tags begin in ``tags``
    length: Codes  #: (entries,) how many they are
    tags: Codes  #: (all tags of all samples,) index into the tag names

    def part(self, chosen: npt.NDArray[np.bool_]) -> Queries:
        """Only these entries."""
        return Queries(self.leaf[chosen], self.start[chosen], self.length[chosen], self.tags)

    def chunks(self, width: int) -> Iterator[tuple[slice, Codes, Codes]]:
        """Entries in pieces of about ``width`` tags: which, their tags, and the entry of each tag."""
        ends = np.cumsum(self.length)
        first = 0
        while first < len(self.leaf):
            before = int(ends[first - 1]) if first else 0
            last = max(first + 1, int(np.searchsorted(ends, before + width, side="right")))
            lengths = self.length[first:last]
            owner = np.repeat(np.arange(last - first), lengths)
            begins = np.cumsum(lengths) - lengths
            within = np.arange(int(lengths.sum())) - begins[owner]
            yield slice(first, last), self.tags[self.start[first:last][owner] + within], owner
            first = last


@dataclass(frozen=True, slots=True)
class Weights:
    """What each tag says for each instruction, of one level."""

    counts: Codes  #: (instructions, tags)
    support: Codes  #: (instructions,) samples that ask so
    tfidf: Floats  #: (instructions, tags); 0 where it says nothing
    pmi: Floats  #: (instructions, tags)
    served: npt.NDArray[np.bool_]  #: (instructions,) enough support
    telling: npt.NDArray[np.bool_]  #: (tags,) not spread over everything


@dataclass(frozen=True, slots=True)
class Result:
    """The table, and how well it tells the instructions of samples that it was not counted on."""

    table: pa.Table  #: of :data:`TAG_ASSOCIATIONS`
    metrics: dict[str, Any]


def associate(rows: pa.Table, taxonomy: Taxonomy, policy: AssociationPolicy) -> Result:
    """Associations of a seed set.

    Args:
        rows: of ``tagged`` with :data:`TAGGED_COLUMNS`, of all sources of the seed set.
        taxonomy: the tree; a leaf that it does not know any more leads where it leads now.
        policy: constants.

    Returns:
        Every pair that occurs, by level, instruction and tag; and the metrics ``samples``, ``queries``,
        ``held_out``, ``hit_rate@k``, ``popularity@k`` (the most frequent instructions for every picture) and
        ``pmi_hit_rate@k`` for k of :data:`DEPTHS`; null where nothing was held out.
    """
    leaves = list(taxonomy.leaves)
    names, queries, held = _queries(rows, taxonomy, leaves, policy)
    seen, unseen = queries.part(~held), queries.part(held)
    train, test = _count(seen, len(leaves), len(names)), _count(unseen, len(leaves), len(names))
    support = np.bincount(seen.leaf, minlength=len(leaves)), np.bincount(unseen.leaf, minlength=len(leaves))
    metrics: dict[str, Any] = {
        "samples": rows.num_rows,
        "queries": len(queries.leaf),
        "held_out": len(unseen.leaf),
        **_hit_rates(unseen, _weigh(train, support[0], policy), policy),
    }
    whole = _weigh(train + test, support[0] + support[1], policy)
    groups = list(dict.fromkeys(leaf.l2 for leaf in taxonomy.leaves.values()))
    above = np.array([groups.index(leaf.l2) for leaf in taxonomy.leaves.values()])
    counts = np.zeros((len(groups), len(names)), np.int64)
    np.add.at(counts, above, whole.counts)
    asked = np.bincount(above, weights=whole.support, minlength=len(groups)).astype(np.int64)
    coarse = _weigh(counts, asked, policy)
    table = pa.concat_tables([_table("l2", groups, names, coarse), _table("l3", leaves, names, whole)])
    metrics["leaves_with_support"] = int(whole.served.sum())
    metrics["tags"] = len(names)
    metrics["telling_tags"] = int(whole.telling.sum())
    return Result(table, metrics)


def _queries(
    rows: pa.Table, taxonomy: Taxonomy, leaves: Sequence[str], policy: AssociationPolicy
) -> tuple[list[str], Queries, npt.NDArray[np.bool_]]:
    """Tag names, entries, and which of them are held out."""
    tags = rows.column("image_tags").combine_chunks()
    names, codes = _encode(tags.flatten())
    start: Codes = np.asarray(tags.offsets, dtype=np.int64)
    start = start - start[0]
    asked = rows.column("instruction_l3").combine_chunks()
    labels, label_codes = _encode(asked.flatten())
    place = {name: i for i, name in enumerate(leaves)}
    leads = np.array([place.get(taxonomy.resolve(label) or "", -1) for label in labels] + [-1])
    asked_offsets: Codes = np.asarray(asked.offsets, dtype=np.int64)
    sample = np.repeat(np.arange(rows.num_rows), np.diff(asked_offsets))
    leaf = leads[label_codes]
    lengths = np.diff(start)
    fit = (leaf >= 0) & (lengths[sample] > 0)
    pairs = np.sort(sample[fit] * len(leaves) + leaf[fit])
    pairs = pairs[np.diff(pairs, prepend=-1) > 0]  # a leaf asked twice of a picture counts once
    sample, leaf = np.divmod(pairs, len(leaves))
    held = _held_out(rows.column("sample_id"), policy)[sample]
    return names, Queries(leaf, start[:-1][sample], lengths[sample], codes), held


def _encode(values: pa.Array) -> tuple[list[str], Codes]:
    """Distinct strings, sorted, and the place of each value among them; null is -1, the last place."""
    encoded = values.dictionary_encode()
    distinct = encoded.dictionary.to_pylist()
    order = np.argsort(np.array(distinct, dtype=object), kind="stable") if distinct else np.zeros(0, np.int64)
    rank = np.empty(len(distinct), np.int64)
    rank[order] = np.arange(len(distinct))
    indices = encoded.indices.fill_null(len(distinct)).to_numpy(zero_copy_only=False)
    return [distinct[i] for i in order], np.append(rank, -1)[indices]


def _held_out(sample_ids: pa.ChunkedArray, policy: AssociationPolicy) -> npt.NDArray[np.bool_]:
    """A seeded choice by the id alone, which is a hash: another sample beside it changes nothing."""
    tail = pl.Series(pl.from_arrow(sample_ids)).str.slice(-8).str.to_integer(base=16, dtype=pl.UInt64)
    share = min(policy.held_out, MAX_HELD_OUT / max(1, len(tail)))
    with np.errstate(over="ignore"):
        mixed = (tail.to_numpy() ^ np.uint64(policy.split_seed)) * np.uint64(0x9E3779B97F4A7C15)
    chosen: npt.NDArray[np.bool_] = (mixed >> np.uint64(40)) < np.uint64(int(share * (1 << 24)))
    return chosen


def _count(queries: Queries, leaves: int, tags: int) -> Codes:
    """Samples by (leaf, tag)."""
    counts = np.zeros(leaves * tags, np.int64)
    for where, found, owner in queries.chunks(CHUNK):
        counts += np.bincount(queries.leaf[where][owner] * tags + found, minlength=leaves * tags)
    return counts.reshape(leaves, tags)


def _weigh(counts: Codes, support: npt.NDArray[Any], policy: AssociationPolicy) -> Weights:
    """TF-IDF and PMI of counts.

    tf = n(t,i) / n(.,i); idf = ln((1 + N) / (1 + df)) + 1, with N the instructions that have enough support
    and df those of them where the tag is not rarer than a part of its usual share. Counting mere occurrence
    would call every frequent tag common once the seed set is large. Rows are L2-normalised.
    """
    served = np.asarray(support) >= policy.min_support
    by_leaf, by_tag = counts.sum(axis=1, keepdims=True), counts.sum(axis=0, keepdims=True)
    total = max(1, int(counts.sum()))
    expected = by_leaf * (by_tag / total)
    tf = counts / np.maximum(by_leaf, 1)
    n = int(served.sum())
    usual = (counts > 0) & (counts >= policy.usual_share * expected)
    df = usual[served].sum(axis=0)
    telling = (df > 0) & (df <= max(1.0, policy.max_df * n))
    tfidf = tf * (np.log((1 + n) / (1 + df)) + 1) * telling * served[:, None]
    norm = np.sqrt((tfidf**2).sum(axis=1, keepdims=True))
    tfidf = np.divide(tfidf, norm, out=np.zeros_like(tfidf), where=norm > 0)
    pmi = np.log((counts + policy.pmi_shrinkage) / (expected + policy.pmi_shrinkage))
    return Weights(counts, np.asarray(support, np.int64), tfidf, pmi, served, telling)


def _hit_rates(unseen: Queries, weights: Weights, policy: AssociationPolicy) -> dict[str, float | None]:
    """How often a held-out sample's own instruction is among the first k that its tags suggest."""
    usable = unseen.part(weights.served[unseen.leaf])
    by_share = np.argsort(np.argsort(-weights.support, kind="stable"), kind="stable")
    ranks = {
        "hit_rate": _ranks(usable, weights.tfidf),
        "pmi_hit_rate": _ranks(usable, np.where(weights.served[:, None], weights.pmi, -np.inf)),
        "popularity": by_share[usable.leaf],
    }
    rates: dict[str, float | None] = {}
    for name, found in ranks.items():
        for k in DEPTHS:
            rates[f"{name}@{k}"] = round(float((found < k).mean()), 6) if len(found) else None
    return rates


def _ranks(queries: Queries, weights: Floats) -> Codes:
    """Place of each entry's own instruction, 0 the best; of equal ones the first in the tree is before."""
    by_tag = np.ascontiguousarray(weights.T, dtype=np.float32)
    ranks = np.zeros(len(queries.leaf), np.int64)
    for where, tags, owner in queries.chunks(max(1, CHUNK // 8)):
        begins = np.flatnonzero(np.diff(owner, prepend=-1))
        scores = np.add.reduceat(by_tag[tags], begins, axis=0)
        leaf = queries.leaf[where]
        own = scores[np.arange(len(leaf)), leaf][:, None]
        earlier = np.arange(scores.shape[1])[None, :] < leaf[:, None]
        ranks[where] = ((scores > own) | ((scores == own) & earlier)).sum(axis=1)
    return ranks


def _table(level: str, instructions: Sequence[str], names: Sequence[str], weights: Weights) -> pa.Table:
    row, tag = np.nonzero(weights.counts)
    tfidf = weights.tfidf[row, tag].astype(np.float32)
    silent = ~(weights.served[row] & weights.telling[tag])
    asked = pl.Series(list(instructions), dtype=pl.String)[row]
    shown = pl.Series(list(names), dtype=pl.String)[tag]
    frame = pl.DataFrame({"instruction": asked, "image_tag": shown}).with_columns(
        pair=pl.concat_str(pl.lit(level), "instruction", "image_tag", separator="/")
    )
    table = pa.table(
        {
            "pair": frame["pair"].to_arrow(),
            "level": pa.repeat(pa.scalar(level), len(row)),
            "instruction": frame["instruction"].to_arrow(),
            "image_tag": frame["image_tag"].to_arrow(),
            "count": weights.counts[row, tag],
            "instruction_support": weights.support[row],
            "tag_support": weights.counts.sum(axis=0)[tag],
            "tfidf": pa.array(tfidf, mask=silent),
            "pmi": weights.pmi[row, tag].astype(np.float32),
        }
    )
    return table.cast(TAG_ASSOCIATIONS.schema)
