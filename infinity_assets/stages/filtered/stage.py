"""Materializing ``filtered``: each shard measured once, and judged again whenever the policy moves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from infinity_assets.platform import Platform
from infinity_assets.sources.model import SourceSpec
from infinity_assets.stages.filtered.contamination.kinds import CONTAMINATION
from infinity_assets.stages.filtered.contamination.scan import materialize_contamination
from infinity_assets.stages.filtered.measures import (
    IMAGE_COLUMNS,
    MEASURE_VERSION,
    UNIFIED_COLUMNS,
    count_answers,
)
from infinity_assets.stages.filtered.policy import Policy
from infinity_assets.stages.filtered.rules import NO_HITS, balance, decide_again, filter_batch
from infinity_assets.stages.filtered.schema import FILTERED
from infinity_assets.stages.filtered.scores import NO_SCORES, Scores
from infinity_assets.stages.images.measure import MEASURE_VERSION as IMAGE_VERSION
from infinity_assets.stages.images.schema import IMAGES
from infinity_assets.stages.publish import StageResult, keep_policy, publish, verdict_stats
from infinity_assets.stages.scored.schema import SCORED
from infinity_assets.stages.synthesized.schema import SYNTHESIZED
from infinity_assets.stages.tagged.schema import TAGGED
from infinity_assets.stages.tagged.stage import grouped, kept_rows, require_parallel
from infinity_assets.stages.unified.schema import UNIFIED
from infinity_assets.stages.verdicts import KEEP
from infinity_assets.store.digests import key_of
from infinity_assets.store.tables import Published, Shard, Transaction


def materialize_filtered(platform: Platform, source: str, run_id: str) -> StageResult:
    """Publish the verdicts of the policy on a source's tagged samples.

    A shard whose samples, measures and policy are unchanged is not read. Where the policy alone moved, stored
    measures are judged again: no text and no picture is read.

    Raises:
        StoreError: if ``unified``, ``images`` or ``tagged`` was never published, or ``tagged`` is of another
            ``unified``.
        CatalogueError: if the policy file is wrong.
    """
    unified = platform.store.require(UNIFIED, source)
    tagged = platform.store.require(TAGGED, source)
    images = platform.store.require(IMAGES, source)
    require_parallel(unified, tagged)
    talks = platform.store.published(SYNTHESIZED, source)
    compared = [table for table in (unified, talks) if table is not None]
    contamination = materialize_contamination(platform, compared, run_id)
    leaks = contamination.shards if contamination else ()
    scored = platform.store.published(SCORED, source)
    scores = Scores(scored, platform.policy.scores) if scored else None
    transaction, spec = platform.store.begin(FILTERED, source), platform.catalogue[source].spec
    work = _Work(
        transaction,
        unified,
        tagged,
        images,
        contamination,
        leaks[: len(unified.shards)],
        scores,
        platform.policy,
        spec,
    )
    shards = work.shards()
    if talks is not None:  # what was written is filtered like what was read
        rest = leaks[len(unified.shards) :]
        work = _Work(transaction, talks, talks, images, contamination, rest, scores, platform.policy, spec)
        shards += work.shards()
    findings: Counter[str] = Counter()
    answers: Counter[str] = Counter()
    for shard in shards:
        findings.update(shard.stats["findings"])
        answers.update(shard.stats["answers"])
    return publish(
        transaction,
        shards,
        rows_in=sum(s.stats["verdicts"].get(KEEP, 0) for s in tagged.shards) + (talks.rows if talks else 0),
        run_id=run_id,
        engine=platform.settings.contracts,
        inputs={
            "unified": unified.data_version,
            "images": images.data_version,
            "tagged": tagged.data_version,
            "policy": keep_policy(
                platform.store, platform.policy.hash, platform.policy.model_dump(mode="json")
            ),
            **({SYNTHESIZED.name: talks.data_version} if talks else {}),
            **({CONTAMINATION.name: contamination.data_version} if contamination else {}),
            **({SCORED.name: scored.data_version} if scored else {}),
        },
        notes={
            "policy": f"{platform.policy.name}@{platform.policy.version}",
            "category": spec.category,  # limits depend on it
            "findings": dict(sorted(findings.items())),
            **({CONTAMINATION.name: contamination.notes["hits"]} if contamination else {}),
            **(scores.notes if scores else {}),
            **balance(answers, platform.policy),
        },
    )


class _Work:
    """One materialization: what is open, and the image measures, read when first asked for."""

    def __init__(
        self,
        transaction: Transaction,
        unified: Published,
        tagged: Published,
        images: Published,
        contamination: Published | None,
        leaks: Sequence[Shard],
        scores: Scores | None,
        policy: Policy,
        spec: SourceSpec,
    ) -> None:
        self.transaction = transaction
        self.unified = unified
        self.tagged = tagged
        self.policy = policy
        self.spec = spec
        self._contamination, self._scores = contamination, scores
        # Empty where no benchmark was ever published.
        self._leaks: Sequence[Shard | None] = leaks or [None] * len(unified.shards)
        self._images: Callable[[], pl.DataFrame] = cache(lambda: _narrow(images))
        base = transaction.base
        self._measured = {s.stats["measured"]: s for s in base.shards} if base else {}

    def shards(self) -> list[Shard]:
        """All shards of ``filtered``, in order: reused, judged again, or measured and judged."""
        languages = sorted(self.spec.language)
        measured = [
            key_of("measures", MEASURE_VERSION, IMAGE_VERSION, languages, mine.digest, theirs.stats["ids"])
            for mine, theirs in zip(self.unified.shards, self.tagged.shards, strict=True)
        ]
        leaks = [shard.digest if shard and shard.rows else "" for shard in self._leaks]
        decided = (self.policy.hash, self.spec.category)
        said = [self._scores.key(shard) if self._scores else "" for shard in self.tagged.shards]
        keys = [
            key_of("filtered", m, *decided, *more) for m, *more in zip(measured, leaks, said, strict=True)
        ]
        have = {key: self.transaction.have(key) for key in keys}
        new = []
        for place, key in enumerate(keys):
            if have[key] is not None:
                continue
            if earlier := self._measured.get(measured[place]):
                have[key] = self._judge_again(key, earlier, place)
            else:
                new.append(place)
        for group in grouped(new, self.unified.shards):
            have |= self._measure({keys[i]: (i, measured[i]) for i in group}, languages)
        return [shard for key in keys if (shard := have[key]) is not None]

    def _hits(self, place: int) -> pl.DataFrame:
        shard = self._leaks[place]
        if self._contamination is None or shard is None or not shard.rows:
            return NO_HITS
        return pl.DataFrame(pl.from_arrow(self._contamination.read_shard(shard)))

    def _said(self, place: int) -> pl.DataFrame:
        return self._scores.of(self.tagged.shards[place]) if self._scores else NO_SCORES

    def _judge_again(self, key: str, earlier: Shard, place: int) -> Shard:
        mine, base = self.unified.shards[place], self.transaction.base
        assert base is not None
        stored = base.read_shard(earlier, ["sample_id", "measures"])
        licences = self.unified.read_shard(mine, ["sample_id", "licence"])
        table = decide_again(
            stored, licences, self.policy, self.spec.category, self._hits(place), self._said(place)
        )
        return self._stage(key, table, earlier.stats["measured"], dict(earlier.stats["answers"]))

    def _measure(self, places: Mapping[str, tuple[int, str]], languages: list[str]) -> dict[str, Shard]:
        """Measure and judge several shards as one batch, and stage each under its key."""
        rows = []
        for place, _ in places.values():
            kept = self.tagged.read_shard(self.tagged.shards[place], ["sample_id", "verdict"])
            rows.append(kept_rows(self.unified, self.unified.shards[place], kept, UNIFIED_COLUMNS))
        hits = pl.concat([self._hits(place) for place, _ in places.values()])
        said = pl.concat([self._said(place) for place, _ in places.values()])
        judged = filter_batch(
            pa.concat_tables(rows), self._images(), self.policy, self.spec.category, languages, hits, said
        )
        staged, first = {}, 0
        for (key, (_, measured)), part in zip(places.items(), rows, strict=True):
            table = judged.slice(first, part.num_rows)
            first += part.num_rows
            staged[key] = self._stage(key, table, measured, count_answers(part))
        return staged

    def _stage(self, key: str, table: pa.Table, measured: str, answers: Mapping[str, int]) -> Shard:
        stats = verdict_stats(table, FILTERED.key) | {
            "measured": measured,
            "answers": dict(answers),
            "findings": _counts(pc.list_flatten(table.column("findings"))),
        }
        return self.transaction.stage(key, table, stats)


def _narrow(images: Published) -> pl.DataFrame:
    """Measures of all images of the source, about 60 bytes each."""
    return pl.DataFrame(pl.from_arrow(images.read(list(IMAGE_COLUMNS))))


def _counts(values: pa.ChunkedArray) -> dict[str, int]:
    return {str(entry["values"]): entry["counts"] for entry in pc.value_counts(values).to_pylist()}
