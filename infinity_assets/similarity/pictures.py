"""Whether two pictures are the same: the second witness of a near-image edge, in two looks.

- :func:`relation` compares signatures, which lie beside the hashes: what a small picture shows.
- :func:`closer` compares close-ups of up to a megapixel, made of the bytes again. Only pairs that the first
  look calls *same* need it; a changed digit or word shows there alone.

The limits were chosen on the tune half of the labelled pairs of ``benchmarks/duplicate_pictures.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from infinity_assets.similarity.evidence import PLAIN, Evidence, examine
from infinity_assets.similarity.ground import ground_of, one_ground
from infinity_assets.similarity.registration import Placement
from infinity_assets.similarity.signature import Signature, pack, unpack

#: Largest Hamming distance of two pHashes at which their pictures are compared. On the held-out half 89.6 %
#: of same pairs are found within 10, 85.9 % within 8 and 80.4 % within 6; what is missed is mostly cropped or
#: framed. Pairs grow fast with it: above some ten million distinct pictures lower the policy's
#: ``phash_radius``.
PHASH_RADIUS = 10

#: Raised when the same pictures get another relation.
WITNESS_VERSION = 16

#: Largest distance of one pHash to the other's complement at which two pictures are compared as light and
#: dark themes of one: 36 of 40 drawn screens and their dark themes are within 6, all within 10.
INVERTED_RADIUS = 6

Relation = Literal["same", "variant", "different"]

#: Of the first look: it passes what may be the same.
FIRST_CORRELATION = 0.82
FIRST_EDGES = 8.0
FIRST_COLOUR = 6.5
FIRST_CONTAINED = 0.94

#: Least slope of the map of brightness; below, light and dark changed places.
LEAST_SLOPE = 0.15

#: Of the second look at pictures reduced to :data:`~infinity_assets.similarity.signature.EARLY_PIXELS`: what
#: fails here failed at full size as well.
EARLY_CORRELATION = 0.8
EARLY_EDGES = 8.0

#: Of the second look.
CORRELATION = 0.7
CONTAINED = 0.97  #: a crop lies in the whole; what was moved within its frame does not
EDGES_BOTH = 3.5  #: edges lost and edges added
EDGES_ANY = 0.5  #: with no more edges lost or added
COLOUR = 16.0  #: of 54 small parts of photos that took another hue one is below 20, and none below 17
COLOUR_LINES = 9.0  #: of lines on plain ground: encoding does less to them, and they are thin
LINES = 0.8  #: share of such a picture that has no slope
STRUCTURE = 42.0  #: a window that differs by so much, and so many times more than is usual in the picture
TIMES_USUAL, TIMES_STILL = 2.2, 4.0  #: the latter where edges stayed: another digit in small print
USUAL_FLOOR = 8.0
ALONE = 52.0  #: a word that came or went in a page or a chart; a watermark half as strong as ink is less

#: In a sparse picture, nearly all of which has no slope, one mark laid upon another proves little: there a
#: crop is believed up to a tenth of each axis, and where all of it lies in the whole; and black is no grey.
SPARSE = 0.85
SPARSE_SCALE = 1.13
SPARSE_CONTAINED = 0.985
SPARSE_GAIN = 1.75

#: A theme variant is a drawing (most pixels have no slope at all) whose edges stay, and where they are.
DRAWN = 0.4
VARIANT_EDGES = 6.0
VARIANT_MOVED = 0.03


@dataclass(frozen=True, slots=True)
class Comparison:
    """What two pictures are to each other.

    ``same``: one is the other resized, encoded again, brighter or darker, lightly watermarked or cropped by
    up to a tenth. ``variant``: one content in other colours (themes, a grey copy). ``different``: all else.
    """

    relation: Relation
    score: float  #: likeness from 0 to 1; what decides is ``relation``
    placement: Placement | None = field(default=None, compare=False)
    """Where b lies in a, of the ``same`` of the first look: where the second one starts."""


DIFFERENT = Comparison("different", 0.0)


def relation(a: bytes, b: bytes) -> Comparison:
    """The first look, by signatures; symmetric. Its ``same`` means: as far as so small pictures show.

    Raises:
        StoreError: if either is no signature.
    """
    ground, other = ground_of(a), ground_of(b)
    if ground is not None and other is not None and not one_ground(ground, other):
        return DIFFERENT
    first, second = unpack(min(a, b)), unpack(max(a, b))
    seen = examine(first, second)
    if seen is None:
        return DIFFERENT
    # From cheap to dear: most pairs of other pictures are told by the first measures.
    if seen.placement.contained <= FIRST_CONTAINED:
        return DIFFERENT
    if seen.correlation <= FIRST_CORRELATION:
        return Comparison("different", _score(seen))
    if seen.slope > LEAST_SLOPE and seen.keeps_edges(FIRST_EDGES) and seen.recoloured < FIRST_COLOUR:
        return Comparison("same", _score(seen), seen.placement if a <= b else seen.placement.inverse())
    if _unmoved(seen.placement) and (seen.grey or seen.flat > DRAWN) and seen.keeps_edges(VARIANT_EDGES):
        return Comparison("variant", _score(seen))
    return Comparison("different", _score(seen))


def inverted(a: bytes, b: bytes) -> Comparison:
    """The only look at two pictures of complementary hashes; symmetric. Gives ``variant`` or ``different``.

    A variant is what shows the same as the other where light and dark change places, as in a dark theme.

    Raises:
        StoreError: if either is no signature.
    """
    other = unpack(max(a, b))
    negative = replace(other, luma=np.uint8(255) - other.luma)
    seen = relation(min(a, b), pack(negative))
    stays = seen.placement is None or _unmoved(seen.placement)
    return Comparison("variant" if seen.relation != "different" and stays else "different", seen.score)


def relation_of(pair: tuple[bytes, bytes, bool]) -> Comparison:
    """:func:`relation` of two, or :func:`inverted` where that is said, for workers."""
    a, b, complementary = pair
    return inverted(a, b) if complementary else relation(a, b)


def closer(a: Signature, b: Signature, start: Placement) -> Comparison:
    """The second look, by close-ups; symmetric but for rounding. Gives ``same`` or ``different``.

    Args:
        a: a close-up of a picture, with planes larger than those of a stored signature.
        b: another one.
        start: where b lies in a, from the first look.
    """
    first, second = a, b
    if not _in_order(a, b):
        first, second, start = b, a, start.inverse()
    seen = examine(first.small, second.small, start)
    if seen is None:
        return DIFFERENT
    if first.small is not first or second.small is not second:
        if seen.correlation <= EARLY_CORRELATION or not seen.keeps_edges(EARLY_EDGES):
            return Comparison("different", _score(seen))
        seen = examine(first, second, seen.placement)
        if seen is None:
            return DIFFERENT
    same = (
        seen.correlation > CORRELATION
        and seen.placement.contained > CONTAINED
        and seen.keeps_edges(EDGES_BOTH)
        and not _changed(seen)
        and seen.recoloured < (COLOUR_LINES if seen.flat > LINES else COLOUR)
        and (_little_done(seen) or seen.flat <= SPARSE)
    )
    return Comparison("same" if same else "different", _score(seen))


def _changed(seen: Evidence) -> bool:
    """Whether a window differs by much, and by much more than is usual in the picture, or a mark is gone."""
    if seen.differs <= min(STRUCTURE, ALONE - PLAIN):
        return False
    times = TIMES_USUAL if max(seen.lost, seen.added) > EDGES_ANY else TIMES_STILL
    usual = times * (seen.usual + USUAL_FLOOR)
    return seen.unexplained > max(STRUCTURE, usual) or (seen.flat > DRAWN and seen.alone > ALONE)


def _unmoved(at: Placement) -> bool:
    moved = (at.scale_x - 1, at.scale_y - 1, at.shift_x, at.shift_y)
    return max(map(abs, moved)) <= VARIANT_MOVED


def _little_done(seen: Evidence) -> bool:
    at = seen.placement
    scales = (at.scale_x, at.scale_y, 1 / at.scale_x, 1 / at.scale_y)
    return (
        max(scales) <= SPARSE_SCALE
        and at.contained >= SPARSE_CONTAINED
        and 1 / SPARSE_GAIN <= seen.gain <= SPARSE_GAIN
    )


def _score(seen: Evidence) -> float:
    return max(0.0, min(1.0, seen.correlation))


def _in_order(a: Signature, b: Signature) -> bool:
    """Whether a is the first of the two: by size, then by their pixels, so that what was brightened until it
    was cut off is mostly the second, to which levels are mapped."""
    if a.luma.shape != b.luma.shape:
        return a.luma.shape < b.luma.shape
    one, other = (b"" if p.chroma is None else p.chroma.tobytes() for p in (a, b))
    return (a.luma.tobytes(), one) <= (b.luma.tobytes(), other)
