"""What to ask of which picture: suggested by its tags, drawn by a seed, held between quotas and floors.

A picture's draw depends on its id and the seed alone. Quotas and floors look at the whole source: a kind that
the associations favour everywhere is cut back, and one that they never favour still gets its floor.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
from blake3 import blake3

from infinity_assets.stages.synthesized.facts import Facts
from infinity_assets.stages.synthesized.policy import STYLES, SynthesisPolicy
from infinity_assets.stages.synthesized.schema import SYNTHESIS_PLAN
from infinity_assets.stages.tagged.taxonomy import Taxonomy
from infinity_assets.store.digests import key_of

#: Raised whenever the same facts, associations and policy would give another plan.
PLAN_VERSION: Final = 1

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Suits:
    """What each image tag says for each leaf, rare leaves leaning on their group."""

    leaves: tuple[str, ...]
    tags: Mapping[str, int]
    weights: Floats  #: (tags, leaves)

    def scores(self, facts: Facts) -> Floats:
        """(leaves,) mean weight of the picture's tags; 0 where they say nothing."""
        known = [self.tags[t] for t in facts.tags if t in self.tags]
        total: Floats = self.weights[known].sum(axis=0)
        return total / max(1, len(facts.tags))


def suits(associations: pa.Table, taxonomy: Taxonomy, backoff: float) -> Suits:
    """Weights from the published associations.

    Args:
        associations: rows of ``tag_associations``; none at all says nothing for any leaf.
        taxonomy: the tree.
        backoff: what a group's weight counts for a leaf without support of its own.
    """
    frame = pl.DataFrame(pl.from_arrow(associations)).drop_nulls("tfidf")
    names = {tag: i for i, tag in enumerate(frame["image_tag"].unique().sort())}
    leaves = tuple(taxonomy.leaves)
    place = {leaf: i for i, leaf in enumerate(leaves)}
    weights = np.zeros((len(names), len(leaves)))
    own: set[int] = set()
    for leaf, tag, value in frame.filter(level="l3").select("instruction", "image_tag", "tfidf").iter_rows():
        if leaf in place:
            weights[names[tag], place[leaf]] = value
            own.add(place[leaf])
    for group, tag, value in frame.filter(level="l2").select("instruction", "image_tag", "tfidf").iter_rows():
        for leaf in taxonomy.group(group):
            if place[leaf.name] not in own:
                weights[names[tag], place[leaf.name]] = backoff * value
    return Suits(leaves, names, weights)


def plan_lines(
    source: str,
    facts: Sequence[Facts],
    possible: Sequence[AbstractSet[str]],
    weights: Suits,
    taxonomy: Taxonomy,
    policy: SynthesisPolicy,
    examples: Callable[[Facts, str], Sequence[str]] = lambda facts, leaf: (),
) -> pa.Table:
    """The lines of a source.

    Args:
        source: its name.
        facts: its pictures.
        possible: for each picture the leaves that the engine can ask about it.
        weights: from :func:`suits`.
        taxonomy: the tree.
        policy: how many, how drawn.
        examples: ids of the samples that a picture and a leaf are asked for with.

    Returns:
        Rows of :data:`SYNTHESIS_PLAN`, by picture and leaf: at most one for each picture and leaf.
    """
    shape = (len(facts), len(weights.leaves))
    scores, noise, able = np.zeros(shape), np.zeros(shape), np.zeros(shape, bool)
    for i, (fact, leaves) in enumerate(zip(facts, possible, strict=True)):
        scores[i] = weights.scores(fact)
        noise[i] = _gumbel(policy.seed, fact.image_id, shape[1])
        able[i] = [leaf in leaves for leaf in weights.leaves]
    drawn = _within_quota(_draw(scores, noise, able, policy), scores, noise, policy)
    floored = _floors(drawn, scores, noise, able, policy) & ~drawn
    rows: list[dict[str, Any]] = []
    for i, j in np.argwhere(drawn | floored).tolist():
        leaf, fact = taxonomy.leaves[weights.leaves[j]], facts[i]
        key = key_of("line", PLAN_VERSION, fact.image_id, leaf.name)
        rows.append(
            {
                "line_id": f"{source}-{key}",
                "image_id": fact.image_id,
                "parent_ids": list(fact.parent_ids),
                "instruction_l1": leaf.l1,
                "instruction_l2": leaf.l2,
                "instruction_l3": leaf.name,
                "score": scores[i, j],
                "chosen_by": "floor" if floored[i, j] else "association",
                "style": _style(key, policy),
                "seed_ids": list(examples(fact, leaf.name)),
            }
        )
    return pa.Table.from_pylist(rows, schema=SYNTHESIS_PLAN.schema)


def coverage(facts: Sequence[Facts], plan: pa.Table, kept: Sequence[str]) -> list[dict[str, Any]]:
    """By leaf: pictures that have such a question already, lines planned, lines kept; planned ones first."""
    before = Counter(leaf for fact in facts for leaf in fact.leaves)
    planned, after = Counter(plan.column("instruction_l3").to_pylist()), Counter(kept)
    names = sorted({*before, *planned}, key=lambda n: (-planned[n], -before[n], n))
    return [{"leaf": n, "before": before[n], "planned": planned[n], "kept": after[n]} for n in names]


def _draw(scores: Floats, noise: Floats, able: npt.NDArray[np.bool_], policy: SynthesisPolicy) -> Any:
    """Of the best ``top_k`` leaves of each picture, ``lines_per_picture`` by Gumbel's trick."""
    best = _top(np.where(able, scores + 1e-9 * noise, -np.inf), policy.top_k)
    tempered = np.where(best & able, scores / policy.temperature + noise, -np.inf)
    return _top(tempered, policy.lines_per_picture)


def _top(values: Floats, k: int) -> npt.NDArray[np.bool_]:
    chosen = np.zeros(values.shape, bool)
    if k and values.size:
        order = np.argsort(-values, axis=1, kind="stable")[:, :k]
        np.put_along_axis(chosen, order, True, axis=1)
    return chosen & np.isfinite(values)


def _within_quota(
    drawn: npt.NDArray[np.bool_], scores: Floats, noise: Floats, policy: SynthesisPolicy
) -> npt.NDArray[np.bool_]:
    """Each leaf's best lines up to its quota, which is no less than an equal share of the leaves drawn."""
    kinds = max(1, int((drawn.sum(axis=0) > 0).sum()))
    most = max(1, int(max(policy.quota, 1 / kinds) * drawn.sum()))
    within = drawn.copy()
    for j in np.flatnonzero(drawn.sum(axis=0) > most).tolist():
        rows = np.flatnonzero(drawn[:, j])
        order = np.lexsort((-noise[rows, j], -scores[rows, j]))
        within[rows[order[most:]], j] = False
    return within


def _floors(
    drawn: npt.NDArray[np.bool_],
    scores: Floats,
    noise: Floats,
    able: npt.NDArray[np.bool_],
    policy: SynthesisPolicy,
) -> npt.NDArray[np.bool_]:
    """More lines for each leaf that has fewer than the floor, of the pictures that suit it best."""
    if not policy.lines_per_picture:
        return drawn
    floored = drawn.copy()
    for j in range(drawn.shape[1]):
        missing = policy.floor - int(drawn[:, j].sum())
        if missing <= 0:
            continue
        rows = np.flatnonzero(able[:, j] & ~drawn[:, j])
        order = np.lexsort((-noise[rows, j], -scores[rows, j]))
        floored[rows[order[:missing]], j] = True
    return floored


def _gumbel(seed: int, image_id: str, count: int) -> Floats:
    """Noise of a picture by leaf: the same whatever other pictures there are."""
    raw = blake3(f"{seed}\n{image_id}".encode()).digest(4 * count)
    uniform = (np.frombuffer(raw, dtype="<u4").astype(np.float64) + 0.5) / 2**32
    noise: Floats = -np.log(-np.log(uniform))
    return noise


def _style(key: str, policy: SynthesisPolicy) -> str:
    """Drawn by the line's own hash, in proportion to the weights."""
    weights = [policy.styles.get(style, 0.0) for style in STYLES]
    at = int(key[:8], 16) / 2**32 * sum(weights)
    for style, weight in zip(STYLES, weights, strict=True):
        if at < weight:
            return style
        at -= weight
    return STYLES[-1]
