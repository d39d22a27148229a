"""Who is joined with whom, and how. Pure functions of fingerprints, equal whatever order sources arrived in.

Equal fingerprints are one node, named by its first sample: each further one has one edge to that. Other edges
join nodes. Both are columns of row numbers, so that nothing here costs more than sorting.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from infinity_assets.stages.duplicate_ledger import schema as s
from infinity_assets.stages.duplicate_ledger.decide import decide
from infinity_assets.stages.duplicate_ledger.keys import NONE, Rows, first_equal, sequences
from infinity_assets.stages.duplicate_ledger.near_images import SAME, VARIANT, NearImages
from infinity_assets.stages.duplicate_ledger.near_texts import NearTexts
from infinity_assets.stages.duplicate_ledger.samples import Pictures, Samples
from infinity_assets.stages.duplicate_ledger.shared import Shared

EDGE_SCHEMA = {
    "kind": pl.UInt8,  # index into KINDS
    "later": pl.Int64,  # samples, by their place in the total order
    "earlier": pl.Int64,
    "distance": pl.Float32,
    "score": pl.Float32,
    "image": pl.Int64,  # pictures, NONE where none are joined
    "other_image": pl.Int64,
}


@dataclass(frozen=True, slots=True)
class Groups:
    """Nodes, each named by its first sample, ``(samples,)`` each; every one is a part of the next."""

    content: Rows  #: the same pictures and conversation
    pair: Rows  #: the same conversation about pictures of one visual cluster each
    talk: Rows  #: the same exchanges, normalized, about such pictures
    scene: Rows  #: such pictures, whatever is said; NONE for a sample without pictures


@dataclass(frozen=True, slots=True)
class NearPairs:
    """Pairs that are near about near pictures; either may yield to the other."""

    later: Rows
    earlier: Rows
    similarity: npt.NDArray[np.float64]  #: 0 to 1

    def and_(self, more: NearPairs) -> NearPairs:
        """These and others."""
        return NearPairs(
            np.concatenate((self.later, more.later)),
            np.concatenate((self.earlier, more.earlier)),
            np.concatenate((self.similarity, more.similarity)),
        )


def visual_clusters(pictures: Pictures, near: NearImages) -> Rows:
    """For each picture the one that its cluster is named by, ``(pictures,)``.

    That one is the first: every other of the cluster is equal to it or directly near it. So no chain of small
    differences joins two pictures that are not alike.
    """
    same = near.of(SAME)
    everyone = np.arange(len(pictures))
    # Each joins the first that stands for itself: what is decided of samples, with nobody barred.
    leader = decide(everyone, same.later, same.earlier, np.zeros(len(pictures), bool)).winner
    return np.where(leader == NONE, everyone, leader)[pictures.node]


def scenes_of(samples: Samples, clusters: Rows) -> Rows:
    """For each sample the first with pictures of the same clusters in the same order, ``(samples,)``.

    NONE where there are no pictures, or sounds and videos besides, of which nothing is known but their bytes.
    """
    scene = sequences(samples.image_owner, clusters[samples.image], len(samples))
    plain = np.where(samples.pictures_only, scene, NONE)
    seen = np.flatnonzero(plain != NONE)
    plain[seen] = seen[first_equal(plain[seen])]
    return plain


def groups_of(samples: Samples, scene: Rows, talk: Rows) -> Groups:
    """The nodes of all samples.

    Args:
        samples: in the total order.
        scene: see :func:`scenes_of`.
        talk: first sample with the same set of exchanges about the same pictures, NONE where there are none.
    """
    content = first_equal(samples.content[:, 0], samples.content[:, 1])
    same_text = first_equal(samples.text[:, 0], samples.text[:, 1], scene)
    spoken = (samples.text != 0).any(axis=1) & (scene != NONE)
    pair = np.where(spoken, same_text, content)
    return Groups(content, pair, np.where(talk == NONE, pair, talk), scene)


def edges_of(
    samples: Samples,
    pictures: Pictures,
    groups: Groups,
    images: NearImages,
    texts: NearTexts,
    text_nodes: Rows,
    near: NearPairs,
    shared: Shared,
) -> pl.DataFrame:
    """Every edge but those that the decision adds, in :data:`EDGE_SCHEMA`, in no order.

    Args:
        text_nodes: first samples of the texts that ``texts`` joins.
        near: pairs that are near in picture and in what is said.
    """
    everyone = np.arange(len(samples))
    content_nodes = everyone[groups.content == everyone]
    pair_nodes = everyone[groups.pair == everyone]
    copies = np.flatnonzero(pictures.node != np.arange(len(pictures)))
    likely = texts.near
    return pl.concat(
        [
            _stars(s.EXACT_PAIR, everyone, groups.content),
            _stars(s.NEAR_PAIR, content_nodes, groups.pair),
            _stars(s.SHARED_TURNS, pair_nodes, groups.talk),
            _stars(s.SAME_PICTURES, everyone[groups.scene != NONE], groups.scene),
            _same_text(samples, groups, pair_nodes),
            edge_frame(s.NEAR_PAIR, near.later, near.earlier, 1 - near.similarity),
            edge_frame(
                s.NEAR_TEXT,
                text_nodes[texts.right[likely]],
                text_nodes[texts.left[likely]],
                1 - texts.similarity[likely],
            ),
            edge_frame(s.SHARED_TURNS, shared.later, shared.earlier, shared.lacking),
            edge_frame(s.SHARED_QUESTIONS, shared.asked_later, shared.asked_earlier, shared.asked_lacking),
            _pictures(s.SAME_IMAGE, pictures, copies, pictures.node[copies], np.zeros(len(copies))),
            _near(s.NEAR_IMAGE, pictures, images.of(SAME)),
            _near(s.IMAGE_VARIANT, pictures, images.of(VARIANT)),
        ]
    )


def near_pairs_of(samples: Samples, groups: Groups, texts: NearTexts, text_nodes: Rows) -> NearPairs:
    """Pairs of ``Groups.pair`` whose texts are near and whose pictures are of the same clusters."""
    everyone = np.arange(len(samples))
    nodes = everyone[(groups.pair == everyone) & (groups.scene != NONE)]
    text = first_equal(samples.text[:, 0], samples.text[:, 1])[nodes]
    of_text = pl.DataFrame({"text": text, "node": nodes, "scene": groups.scene[nodes]})
    pairs = pl.DataFrame(
        {
            "a": text_nodes[texts.left[texts.near]],
            "b": text_nodes[texts.right[texts.near]],
            "similarity": texts.similarity[texts.near],
        }
    )
    joined = pairs.join(of_text, left_on="a", right_on="text").join(
        of_text, left_on=["b", "scene"], right_on=["text", "scene"], suffix="_b"
    )
    one, other = joined["node"].to_numpy(), joined["node_b"].to_numpy()
    return NearPairs(np.maximum(one, other), np.minimum(one, other), joined["similarity"].to_numpy())


def edge_frame(
    kind: str, later: Rows, earlier: Rows, distance: npt.NDArray[np.floating], **more: npt.NDArray[np.generic]
) -> pl.DataFrame:
    """Edges of one kind, in :data:`EDGE_SCHEMA`."""
    count = len(later)
    columns: dict[str, npt.NDArray[Any]] = {
        "kind": np.full(count, s.KINDS.index(kind), np.uint8),
        "later": later,
        "earlier": earlier,
        "distance": distance,
        "score": more.get("score", np.full(count, np.nan, np.float32)),
        "image": more.get("image", np.full(count, NONE, np.int64)),
        "other_image": more.get("other_image", np.full(count, NONE, np.int64)),
    }
    series = [pl.Series(n, columns[n]).cast(t) for n, t in EDGE_SCHEMA.items()]
    return pl.DataFrame(series).with_columns(pl.col("score").fill_nan(None))


def _stars(kind: str, rows: Rows, node: Rows) -> pl.DataFrame:
    """From each row to the first one of its node."""
    later = rows[node[rows] != rows]
    return edge_frame(kind, later, node[later], np.zeros(len(later)))


def _same_text(samples: Samples, groups: Groups, nodes: Rows) -> pl.DataFrame:
    """Texts that are long enough to say something, each to its first occurrence with other pictures."""
    long = np.zeros(len(samples), bool)
    long[samples.signature_owner] = True
    first = first_equal(samples.text[:, 0], samples.text[:, 1])
    later = nodes[long[nodes] & (first[nodes] != nodes)]
    return edge_frame(s.SAME_TEXT, later, first[later], np.zeros(len(later)))


def _pictures(
    kind: str,
    pictures: Pictures,
    image: Rows,
    other: Rows,
    distance: npt.NDArray[np.floating],
    **more: npt.NDArray[np.generic],
) -> pl.DataFrame:
    return edge_frame(
        kind, pictures.first[image], pictures.first[other], distance, image=image, other_image=other, **more
    )


def _near(kind: str, pictures: Pictures, near: NearImages) -> pl.DataFrame:
    distance = near.distance.astype(np.float32)
    return _pictures(kind, pictures, near.later, near.earlier, distance, score=near.score)
