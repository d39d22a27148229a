"""Which samples may have other edges or verdicts now: those connected with one that came, went or was barred.

Whatever the ledger says of a sample follows from the samples that it is connected with: by equal content, an
equal or near text, an equal picture, or one that may be near. So a source that comes is compared with all,
and only what it meets is decided again. A link too many costs time and changes nothing; so 64 bits of a
fingerprint stand for it here, and pictures within the radius are linked unless known to be different.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from infinity_assets.stages.duplicate_ledger.keys import Rows, members
from infinity_assets.stages.duplicate_ledger.narrow import Mask, NarrowPictures, NarrowSamples
from infinity_assets.stages.duplicate_ledger.near_images import DIFFERENT, HashPairs

Words = npt.NDArray[np.uint64]

#: Share of the samples from which on all are decided again: little would be saved. Our choice.
MOST = 0.5


@dataclass(frozen=True, slots=True)
class Links:
    """Pairs of fingerprints that link their owners, each in both directions, sorted by ``one``."""

    one: Words
    other: Words

    @classmethod
    def of(cls, left: Words, right: Words) -> Links:
        """From pairs in one direction."""
        one, other = np.concatenate((left, right)), np.concatenate((right, left))
        order = np.argsort(one, kind="stable")
        return cls(one[order], other[order])

    def of_any(self, words: Words) -> Words:
        """What is linked with any of these, and these."""
        return np.unique(np.concatenate((words, self.other[members(self.one, words)])))


@dataclass(frozen=True, slots=True)
class Everything:
    """The samples and pictures that are or were there, as columns of 64-bit words."""

    content: Words  #: ``(samples,)``
    text_owner: Rows  #: ``(texts long enough,)``
    text: Words
    image_owner: Rows  #: ``(pictures shown,)``
    image: Words
    picture: Words  #: ``(pictures,)``: ids, pixels, hashes
    pixels: Words
    phash: Words
    comparable: Mask

    @classmethod
    def of(cls, samples: Sequence[NarrowSamples], pictures: Sequence[NarrowPictures]) -> Everything:
        """Of some shards, one after another."""
        counts = _joined([part.pictures for part in samples])
        return cls(
            content=_first_words([part.content for part in samples]),
            text_owner=np.flatnonzero(_joined([part.signed for part in samples])),
            text=_first_words([part.text[part.signed] for part in samples]),
            image_owner=np.repeat(np.arange(len(counts)), counts.astype(np.int64)),
            image=_first_words([part.image for part in samples]),
            picture=_first_words([part.ids for part in pictures]),
            pixels=_first_words([part.pixels for part in pictures]),
            phash=_joined([part.phash for part in pictures]).astype(np.uint64),
            comparable=_joined([part.comparable for part in pictures]).astype(bool),
        )


def affected(
    there: Everything, moved: Mask, shown: Mask, texts: Words, near_text: Links, near: Links
) -> Mask:
    """Which samples are connected with something that moved, ``(samples,)``.

    Args:
        there: all samples and pictures, those that went too.
        moved: samples that came, went, or are barred or free now.
        shown: pictures that came or went.
        texts: texts that share a band with one that came or went.
        near_text: texts that are near.
        near: pHashes of pictures that may be near.
    """
    hit, seen = moved.copy(), shown.copy()
    hit[there.text_owner[members(there.text, texts)]] = True
    comparable = np.flatnonzero(there.comparable)
    hashes = there.phash[comparable]
    before = (-1, -1)
    while before != (now := (int(hit.sum()), int(seen.sum()))):
        if now[0] > MOST * len(hit):
            return np.ones(len(hit), bool)
        before = now
        hit[members(there.content, np.unique(there.content[hit]))] = True
        said = near_text.of_any(np.unique(there.text[hit[there.text_owner]]))
        hit[there.text_owner[members(there.text, said)]] = True
        shows = np.unique(there.image[hit[there.image_owner]])
        seen[members(there.picture, shows)] = True
        decoded = np.unique(there.pixels[seen])
        seen[members(there.pixels, decoded[decoded != 0])] = True
        like = near.of_any(np.unique(there.phash[seen & there.comparable]))
        seen[comparable[members(hashes, like)]] = True
        shows = np.union1d(shows, there.picture[seen])
        hit[there.image_owner[members(there.image, shows)]] = True
    return hit


def maybe_near(there: Everything, pairs: HashPairs, told: pl.DataFrame) -> Links:
    """Pairs of pHashes, of which not every two pictures are known to be different.

    Args:
        there: all pictures, those that went too.
        pairs: all pairs within the radius.
        told: see :func:`~.near_images.remembered`.
    """
    hashes = np.unique(np.concatenate((pairs.left, pairs.right)))
    at = members(there.phash, hashes)
    at = at[there.comparable[at]]
    pictures = pl.DataFrame({"pixels": there.pixels[at], "phash": there.phash[at]}).unique()
    sizes = pictures.group_by("phash").len("size").with_columns(pl.col("size").cast(pl.Float64))
    of_pixels = pictures.unique("pixels")
    apart = (
        told.filter(pl.col("relation") == DIFFERENT)
        .join(of_pixels, left_on="a0", right_on="pixels")
        .join(of_pixels, left_on="b0", right_on="pixels", suffix="_b")
        .select(left=pl.min_horizontal("phash", "phash_b"), right=pl.max_horizontal("phash", "phash_b"))
        .group_by("left", "right")
        .len("apart")
    )
    both = pl.DataFrame(
        {"left": np.minimum(pairs.left, pairs.right), "right": np.maximum(pairs.left, pairs.right)}
    )
    open_ = (
        both.join(sizes, left_on="left", right_on="phash", how="left")
        .join(sizes, left_on="right", right_on="phash", how="left", suffix="_right")
        .join(apart, on=["left", "right"], how="left")
        .filter(pl.col("apart").fill_null(0) < pl.col("size") * pl.col("size_right"))
    )
    return Links.of(open_["left"].to_numpy(), open_["right"].to_numpy())


def _joined(parts: Sequence[npt.NDArray[np.generic]]) -> npt.NDArray[np.generic]:
    return np.concatenate(parts) if parts else np.empty(0, np.int64)


def _first_words(parts: Sequence[npt.NDArray[np.uint64]]) -> Words:
    return np.concatenate([part[:, 0] for part in parts]) if parts else np.empty(0, np.uint64)
