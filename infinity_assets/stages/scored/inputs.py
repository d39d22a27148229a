"""What is scored of a source, cut as it was published, and whether it was."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

from infinity_assets.models.vlm.config import EngineConfig
from infinity_assets.models.vlm.requests import Picture
from infinity_assets.sources.catalogue import EVALUATION
from infinity_assets.stages.images.schema import IMAGES
from infinity_assets.stages.images.stored import StoredPictures
from infinity_assets.stages.scored.asking import LATEST, SCORE_VERSION
from infinity_assets.stages.scored.policy import ScoringPolicy
from infinity_assets.stages.scored.schema import SCORED, SYNTHETIC
from infinity_assets.stages.scored.score import Sample
from infinity_assets.stages.synthesized.schema import SYNTHESIZED
from infinity_assets.stages.tagged.schema import TAGGED
from infinity_assets.stages.tagged.sending import SENDING_VERSION, read_to_send
from infinity_assets.stages.tagged.stage import kept_rows, require_parallel
from infinity_assets.stages.tagged.tags import TAG_VERSION
from infinity_assets.stages.unified.schema import UNIFIED
from infinity_assets.stages.verdicts import KEEP
from infinity_assets.store.digests import key_of
from infinity_assets.store.tables import Published, Shard

if TYPE_CHECKING:
    from infinity_assets.platform import Platform

COLUMNS: Final = ("sample_id", "turns", "media", "language")


def engine_of(platform: Platform) -> EngineConfig | None:
    """The engine that scores; None where none is named."""
    name = platform.scoring.engine
    return None if name is None else platform.engine(name)


def behind(platform: Platform, source: str) -> bool:
    """Whether an engine is named that has not scored all samples of a source that are published now.

    Benchmarks are not scored: nothing is trained on them.
    """
    engine = engine_of(platform)
    if engine is None or platform.catalogue[source].spec.category == EVALUATION:
        return False
    if platform.store.published(TAGGED, source) is None:
        return False
    found = platform.store.published(SCORED, source)
    wanted = Inputs(platform, source, platform.scoring, engine).keys
    return found is None or set(wanted) != {shard.key for shard in found.shards}


def moved(platform: Platform, source: str) -> str | None:
    """What to call the samples of a source that its scores do not follow from; None where they do.

    None also where it was never scored, or by another scorer: that is a person's decision. And so is it to go
    on where a budget was spent.
    """
    engine, found = engine_of(platform), platform.store.published(SCORED, source)
    if engine is None or found is None or platform.store.published(TAGGED, source) is None:
        return None
    inputs = Inputs(platform, source, platform.scoring, engine)
    now = {inputs.ids(place) for place in range(len(inputs.shards))}
    if found.inputs.get("scorer") != inputs.scorer or now == {shard.stats["ids"] for shard in found.shards}:
        return None
    return f"{source}/scores/{key_of(sorted(now))}"


@dataclass(frozen=True)
class Inputs:
    """Everything that is scored: shards of ``unified`` as far as ``tagged`` kept them, then conversations."""

    platform: Platform
    source: str
    policy: ScoringPolicy
    engine: EngineConfig | None

    @cached_property
    def unified(self) -> Published:
        """The samples, of which ``tagged`` was made."""
        unified = self.platform.store.require(UNIFIED, self.source)
        require_parallel(unified, self.tagged)
        return unified

    @cached_property
    def tagged(self) -> Published:
        """Which samples are kept, and what they ask."""
        return self.platform.store.require(TAGGED, self.source)

    @cached_property
    def talks(self) -> Published | None:
        """What was written, if anything was."""
        return self.platform.store.published(SYNTHESIZED, self.source)

    @cached_property
    def pictures(self) -> StoredPictures:
        """Where pictures are read from."""
        return StoredPictures(self.platform.store.require(IMAGES, self.source))

    @property
    def shards(self) -> Sequence[Shard]:
        """Shards that are scored, in order."""
        return (*self.tagged.shards, *(self.talks.shards if self.talks else ()))

    @property
    def rows(self) -> int:
        """How many samples they hold."""
        return sum(self.size(place) for place in range(len(self.shards)))

    def size(self, place: int) -> int:
        """Samples of a shard."""
        shard = self.shards[place]
        return int(shard.stats["verdicts"].get(KEEP, 0)) if place < len(self.tagged.shards) else shard.rows

    @property
    def versions(self) -> Mapping[str, str]:
        """What the scores are made from."""
        tables = [self.unified, self.tagged, *([self.talks] if self.talks else [])]
        return {table.table.name: table.data_version for table in tables} | {"scorer": self.scorer}

    @cached_property
    def keys(self) -> Sequence[str]:
        """Keys of the shards of ``scored``, in order."""
        read = zip(self.unified.shards, self.tagged.shards, strict=True)
        kept = [key_of(SCORED.name, self.scorer, m.digest, t.stats["ids"], TAG_VERSION) for m, t in read]
        talks = self.talks.shards if self.talks else ()
        return [*kept, *(key_of(SCORED.name, self.scorer, SYNTHETIC, shard.digest) for shard in talks)]

    @property
    def scorer(self) -> str:
        """32 hex characters of who scores, and how."""
        model = (self.engine.model, self.engine.revision) if self.engine else None
        return key_of(
            "scorer", SCORE_VERSION, SENDING_VERSION, sorted(LATEST.items()), self.policy.hash, model
        )

    def ids(self, place: int) -> str:
        """What identifies the samples of a shard."""
        return str(self.shards[place].stats["ids"])

    def samples(self, place: int) -> list[Sample]:
        """The samples of a shard, in order."""
        first = len(self.tagged.shards)
        if place >= first:
            assert self.talks is not None
            rows = self.talks.read_shard(self.shards[place], COLUMNS)
            return [Sample(**row, kind=SYNTHETIC) for row in rows.to_pylist()]
        told = self.tagged.read_shard(self.shards[place], ["sample_id", "question_type", "verdict"])
        rows = kept_rows(self.unified, self.unified.shards[place], told, COLUMNS)
        kinds = dict(
            zip(told.column("sample_id").to_pylist(), told.column("question_type").to_pylist(), strict=True)
        )
        return [Sample(**row, kind=kinds[row["sample_id"]]) for row in rows.to_pylist()]

    def shown(self, image_ids: Iterable[str]) -> Mapping[str, Picture]:
        """Pictures by id, as a request holds them."""
        return read_to_send(self.pictures, image_ids)
