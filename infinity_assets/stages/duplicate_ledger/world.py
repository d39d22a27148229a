"""All shards that are compared, as narrow columns, and those that were compared before and are gone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from infinity_assets.stages.duplicate_ledger.affected import Everything, Links, affected, maybe_near
from infinity_assets.stages.duplicate_ledger.keys import Keys, Rows, first_equal, members
from infinity_assets.stages.duplicate_ledger.narrow import (
    Mask,
    NarrowPictures,
    NarrowSamples,
    kept_pictures,
    kept_samples,
    narrow_pictures,
    narrow_samples,
    shard_name,
)
from infinity_assets.stages.duplicate_ledger.near_images import HashPairs
from infinity_assets.stages.duplicate_ledger.near_texts import NearTexts, Signatures
from infinity_assets.stages.duplicate_ledger.samples import PictureShard, SampleShard
from infinity_assets.store.objects import Objects
from infinity_assets.store.tables import Published, Shard

#: Ids by cause and source, see :class:`~.compare.Inputs`.
Dropped = Mapping[str, tuple[str, Keys]]


@dataclass(frozen=True, slots=True)
class Before:
    """What was compared when the slices that are published were last in line with everything."""

    #: By source: names of its shards (see :func:`~.narrow.shard_name`), and the key of the edges of each.
    unified: Mapping[str, Mapping[str, str]]
    images: Mapping[str, Sequence[str]]  #: names of its shards
    dropped: Dropped


@dataclass(frozen=True, slots=True)
class Places:
    """Where some samples are."""

    shard: Rows  #: index into :attr:`World.samples`
    row: Rows  #: of ``unified``


@dataclass(frozen=True, slots=True)
class World:
    """What is compared, and what it was compared with before."""

    samples: Sequence[SampleShard]  #: by source, in the tables' order
    pictures: Sequence[PictureShard]
    moved: Sequence[Mask]  #: for each of ``samples``: which came, are barred, or are free again
    new_pictures: Sequence[bool]  #: for each of ``pictures``
    gone_samples: Sequence[NarrowSamples]
    gone_pictures: Sequence[NarrowPictures]

    def hashes(self) -> npt.NDArray[np.uint64]:
        """pHashes of all pictures, those that went too: sorted, distinct."""
        parts = [*(shard.columns for shard in self.pictures), *self.gone_pictures]
        found = [part.phash[part.comparable] for part in parts]
        return np.unique(np.concatenate(found)) if found else np.empty(0, np.uint64)

    def parts(self) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
        """pHashes of the same pictures, ``(pictures,)``, and those of their parts, ``(pictures, parts)``."""
        found = [*(shard.columns for shard in self.pictures), *self.gone_pictures]
        hashes = [part.phash[part.comparable] for part in found]
        parts = [part.parts[part.comparable] for part in found]
        if not found:
            return np.empty(0, np.uint64), np.empty((0, 1), np.uint64)
        return np.concatenate(hashes), np.concatenate(parts)

    def texts(self) -> tuple[Keys, Signatures, Places]:
        """Each distinct text that is long enough, its signature, and the first place of it."""
        columns = [shard.columns for shard in self.samples]
        keys, signatures = _signed(columns)
        if not len(keys):
            return keys, signatures, Places(np.empty(0, np.int64), np.empty(0, np.int64))
        firsts = np.flatnonzero(first_equal(keys[:, 0], keys[:, 1]) == np.arange(len(keys)))
        shard = np.repeat(np.arange(len(columns)), [int(part.signed.sum()) for part in columns])
        row = np.concatenate([s.offset + s.columns.row[s.columns.signed] for s in self.samples])
        if len(firsts) < len(keys):
            keys, signatures = keys[firsts], signatures[firsts]
        return keys, signatures, Places(shard[firsts], row[firsts])

    def texts_gone(self) -> tuple[Keys, Signatures]:
        """Texts of shards that went, with their signatures."""
        return _signed(self.gone_samples)

    def again(self, hashes: HashPairs, told: pl.DataFrame, keys: Keys, texts: NearTexts) -> Sequence[Mask]:
        """Which samples of each shard have to be decided again.

        Args:
            hashes: all pairs within the radius.
            told: what is known of pictures, see :func:`~.near_images.remembered`.
            keys: the texts that ``texts`` counts.
            texts: all pairs of near texts.
        """
        if all(mask.all() for mask in self.moved):
            return self.moved
        sizes = [len(shard.columns) for shard in self.samples]
        there = Everything.of(
            [*(shard.columns for shard in self.samples), *self.gone_samples],
            [*(shard.columns for shard in self.pictures), *self.gone_pictures],
        )
        moved = np.ones(len(there.content), bool)
        moved[: sum(sizes)] = np.concatenate(self.moved)
        new = [np.full(len(s.columns), n) for s, n in zip(self.pictures, self.new_pictures, strict=True)]
        shown = np.ones(len(there.picture), bool)
        shown[: sum(map(len, new))] = np.concatenate([*new, np.empty(0, bool)])
        words = keys[:, 0]
        hit = affected(
            there,
            moved,
            shown,
            words[texts.touched],
            Links.of(words[texts.left], words[texts.right]),
            maybe_near(there, hashes, told),
        )
        return np.split(hit[: sum(sizes)], np.cumsum(sizes)[:-1])


def read_world(
    unified: Mapping[str, Published],
    images: Mapping[str, Published],
    dropped: Dropped,
    before: Before | None,
    objects: Objects,
) -> World:
    """The columns of everything; what earlier runs kept of a shard is not read from its table again.

    Args:
        unified: by source.
        images: by source; one without is left out.
        dropped: ids that ``filtered`` drops now.
        before: None where everything is new.
        objects: where columns are kept.
    """
    samples = [
        SampleShard(name, shard_name(shard), offset, narrow_samples(objects, table, shard))
        for name, table in sorted(unified.items())
        for shard, offset in _offsets(table)
    ]
    pictures = [
        PictureShard(name, shard_name(shard), offset, narrow_pictures(objects, table, shard))
        for name, table in sorted(images.items())
        for shard, offset in _offsets(table)
    ]
    old_samples = _names(before.unified if before else {})
    old_pictures = _names(before.images if before else {})
    gone = [kept_samples(objects, n) for _, n in sorted(old_samples - {(s.source, s.name) for s in samples})]
    went = [
        kept_pictures(objects, n) for _, n in sorted(old_pictures - {(s.source, s.name) for s in pictures})
    ]
    if before is None or None in gone or None in went:
        everything = [np.ones(len(shard.columns), bool) for shard in samples]
        return World(samples, pictures, everything, [True] * len(pictures), [], [])
    flipped = _flipped(before.dropped, dropped)
    return World(
        samples,
        pictures,
        [_moved(shard, old_samples, flipped) for shard in samples],
        [(shard.source, shard.name) not in old_pictures for shard in pictures],
        [part for part in gone if part is not None],
        [part for part in went if part is not None],
    )


def _moved(
    shard: SampleShard, before: set[tuple[str, str]], flipped: Mapping[str, npt.NDArray[np.uint64]]
) -> Mask:
    if (shard.source, shard.name) not in before:
        return np.ones(len(shard.columns), bool)
    mask = np.zeros(len(shard.columns), bool)
    if shard.source in flipped:
        mask[members(shard.columns.ids[:, 0], flipped[shard.source])] = True
    return mask


def _flipped(before: Dropped, now: Dropped) -> dict[str, npt.NDArray[np.uint64]]:
    """By source: samples that a later stage drops now and did not then, or the other way round."""
    found: dict[str, npt.NDArray[np.uint64]] = {}
    for cause in before.keys() | now.keys():
        source = (before.get(cause) or now[cause])[0]
        then, since = (
            side[cause][1][:, 0] if cause in side else np.empty(0, np.uint64) for side in (before, now)
        )
        words = np.setxor1d(then, since)
        found[source] = np.union1d(found.get(source, words), words)
    return found


def _names(shards: Mapping[str, Iterable[str]]) -> set[tuple[str, str]]:
    return {(source, name) for source, names in shards.items() for name in names}


def _offsets(table: Published) -> Iterator[tuple[Shard, int]]:
    """Each shard and the row at which it begins."""
    offset = 0
    for shard in table.shards:
        yield shard, offset
        offset += shard.rows


def _signed(parts: Sequence[NarrowSamples]) -> tuple[Keys, Signatures]:
    """Texts that have a signature, and these."""
    some = [part for part in parts if len(part.signature)]
    if not some:
        return np.empty((0, 2), np.uint64), np.empty((0, 0), np.uint8)
    return (
        np.concatenate([part.text[part.signed] for part in some]),
        np.concatenate([part.signature for part in some]),
    )
