"""What it would cost to have an engine label, tag or score a source, or write samples about its pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import reduce
from operator import add
from typing import Any, Final

import pyarrow as pa

from infinity_assets.errors import CatalogueError
from infinity_assets.models.vlm.ask import complete_all
from infinity_assets.models.vlm.cache import ReplyCache
from infinity_assets.models.vlm.config import EngineConfig
from infinity_assets.models.vlm.engines import open_engine
from infinity_assets.models.vlm.replies import Reply
from infinity_assets.models.vlm.requests import Request
from infinity_assets.platform import Platform
from infinity_assets.pricing.estimate import Estimate, Spent, draw, extrapolate
from infinity_assets.stages.deduped.schema import DEDUPED
from infinity_assets.stages.scored.inputs import Inputs as ScoringInputs
from infinity_assets.stages.scored.score import score_samples
from infinity_assets.stages.synthesized.inputs import Inputs as SynthesisInputs
from infinity_assets.stages.synthesized.policy import SynthesisPolicy
from infinity_assets.stages.tagged.asked import TaggingModel, pictures_of
from infinity_assets.stages.tagged.stage import kept_rows, require_parallel
from infinity_assets.stages.tagged.tags import visual_questions
from infinity_assets.stages.tagged.taxonomy import load_taxonomy
from infinity_assets.stages.unified.schema import UNIFIED

#: What a price names, and in which unit.
FIGURES: Final = ("requests", "prompt_tokens", "completion_tokens", "machine_hours", "cost")


@dataclass(frozen=True)
class Price:
    """Of one step, or of all of them together."""

    step: str
    estimate: Estimate
    failed: int  #: requests of the sample whose reply cannot be used
    currency: str
    gpus: int  #: of the engine's own server, or of the machine whose speed is given; 0 where there is neither

    def as_json(self) -> dict[str, Any]:
        """Figures with their intervals, as JSON values."""
        figures = {name: asdict(self.estimate.interval(name)) for name in FIGURES}
        hours = figures.pop("machine_hours")
        return {
            "step": self.step,
            "units": self.estimate.units,
            "sampled": self.estimate.sampled,
            "failed_requests": self.failed,
            **figures,
            "gpu_hours": {end: hours * self.gpus for end, hours in hours.items()} if self.gpus else None,
            "currency": self.currency,
        }


@dataclass(frozen=True)
class Sampled:
    """Some units of a source that were asked about."""

    units: int  #: of the whole source
    spent: Sequence[Spent]  #: by each of these
    failed: int  #: requests


def price(
    platform: Platform,
    source: str,
    engine: str,
    steps: Sequence[str] | None,
    samples: int,
    seed: int,
) -> list[Price]:
    """What each step would cost for a whole source, and all of them together at the end.

    The sample is really asked about, and its replies are kept: the step does not pay for them again. The
    price is that of the whole all the same, as if nothing was asked yet.

    Args:
        engine: a name of ``engines.yaml``; it scores, or writes, whatever the step's policy names.
        steps: names of :data:`STEPS`; all if None.
        samples: how many units (questions, pictures, planned lines, samples) to ask about for each step.
        seed: chooses them, and draws the bootstrap.

    Raises:
        CatalogueError: if there is no such source, engine or step, or nothing to ask about.
        StoreError: if the source was not tagged yet.
        EngineError: the engine as a whole does not work.
    """
    config = platform.engine(engine)
    _ = platform.catalogue[source]
    unknown = sorted(set(steps or ()) - set(STEPS))
    if unknown:
        raise CatalogueError(f"no step {unknown[0]!r} to price; there are: {', '.join(STEPS)}")
    gpus = platform.settings.vllm_gpus if config.engine == "vllm" else 0
    gpus = config.speed.gpus if config.speed is not None else gpus
    prices = []
    for number, step in enumerate(steps or STEPS):
        with ExitStack() as opened:
            found = STEPS[step](platform, source, engine, samples, seed, opened)
        spent = [_at_speed(one, config) for one in found.spent]
        estimate = extrapolate(spent, found.units, seed + number)
        prices.append(Price(step, estimate, found.failed, config.prices.currency, gpus))
    if len(prices) > 1:
        together = reduce(add, (one.estimate for one in prices))
        failed = sum(one.failed for one in prices)
        prices.append(Price("together", together, failed, config.prices.currency, gpus))
    return prices


def _at_speed(spent: Spent, config: EngineConfig) -> Spent:
    """What it would take on the machine whose speed is given; as it is where none is."""
    if config.speed is None:
        return spent
    tokens = spent.prompt_tokens, spent.completion_tokens
    hours = config.speed.hours(*tokens)
    cost = config.prices.of_tokens(*tokens) + hours * config.prices.per_hour
    return replace(spent, machine_hours=hours, cost=cost)


def _scoring(
    platform: Platform, source: str, engine: str, samples: int, seed: int, opened: ExitStack
) -> Sampled:
    config, policy = platform.engine(engine), platform.scoring
    inputs = ScoringInputs(platform, source, policy, config)
    if not inputs.rows:
        raise CatalogueError(f"{source}: no sample was kept, so there is nothing to score")
    wanted, chosen, first = draw(inputs.rows, samples, seed), [], 0
    for place in range(len(inputs.shards)):
        size = inputs.size(place)
        here = [number - first for number in wanted if first <= number < first + size]
        if here:
            found = inputs.samples(place)
            chosen += [found[number] for number in here]
        first += size
    cache = ReplyCache(platform.store.objects)
    opened.callback(cache.close)
    server = opened.enter_context(open_engine(config, platform.settings.home / "logs" / engine))
    replies: dict[str, Reply] = {}

    def ask(requests: Iterable[Request]) -> list[Reply]:
        limit = config.concurrency
        asked = complete_all(server, requests, cache=cache, prices=config.prices, concurrency=limit)
        replies.update({reply.request_hash: reply for reply in asked})
        return asked

    rows = score_samples(chosen, inputs.shown, policy, ask, f"{config.model}@{config.revision}")
    spent = [_spent([replies[name] for name in row["requests"]]) for row in rows]
    return Sampled(inputs.rows, spent, sum(reply.problem is not None for reply in replies.values()))


def _synthesis(
    platform: Platform, source: str, engine: str, samples: int, seed: int, opened: ExitStack
) -> Sampled:
    policy = platform.synthesis.model_dump() | {"engine": engine, "budget": None}
    priced = Platform(platform.settings)
    priced.__dict__["synthesis"] = SynthesisPolicy.model_validate(policy)
    read = SynthesisInputs(priced, source, opened)
    facts = read.facts()
    writer = read.writer(facts)
    plan = read.plan(facts, writer).to_pylist()
    if not plan:
        raise CatalogueError(f"{source}: no question is planned, so there is nothing to write")
    chosen = [plan[number] for number in draw(len(plan), samples, seed)]
    written = writer.write(chosen, {fact.image_id: fact for fact in facts})
    cache = ReplyCache(platform.store.objects)
    spent = []
    for line in written.lines.iter_rows(named=True):
        kept = [reply for name in line["requests"] if (reply := cache.get(name)) is not None]
        hours = sum(reply.machine_s for reply in kept) / 3600
        tokens = line["prompt_tokens"], line["completion_tokens"]
        spent.append(Spent(len(line["requests"]), *tokens, hours, line["cost"]))
    return Sampled(len(plan), spent, sum(cost.failed for cost in written.costs))


def _labelling(
    platform: Platform, source: str, engine: str, samples: int, seed: int, opened: ExitStack
) -> Sampled:
    """Units are distinct questions about a picture: each is asked about once."""
    questions = sorted(
        {q for part in _kept(platform, source, ("turns", "media")) for q in visual_questions(part)}
    )
    if not questions:
        raise CatalogueError(f"{source}: no kept sample asks about a picture, so there is nothing to label")
    chosen = [questions[number] for number in draw(len(questions), samples, seed)]
    model = TaggingModel(_tagging_with(platform, engine), source, opened)
    return _told(len(questions), list(model.ask_labels(chosen, load_taxonomy()).values()))


def _tagging(
    platform: Platform, source: str, engine: str, samples: int, seed: int, opened: ExitStack
) -> Sampled:
    """Units are distinct pictures of kept samples."""
    pictures = sorted({i for part in _kept(platform, source, ("media",)) for i in pictures_of(part)})
    if not pictures:
        raise CatalogueError(f"{source}: no kept sample has a picture, so there is nothing to tag")
    chosen = [pictures[number] for number in draw(len(pictures), samples, seed)]
    model = TaggingModel(_tagging_with(platform, engine), source, opened)
    return _told(len(pictures), list(model.ask_tags(chosen).values()))


def _kept(platform: Platform, source: str, columns: tuple[str, ...]) -> Iterator[pa.Table]:
    """Some columns of what ``deduped`` kept, shard by shard."""
    unified, deduped = (platform.store.require(table, source) for table in (UNIFIED, DEDUPED))
    require_parallel(unified, deduped)
    for mine, theirs in zip(unified.shards, deduped.shards, strict=True):
        kept = deduped.read_shard(theirs, ["sample_id", "verdict"])
        yield kept_rows(unified, mine, kept, ("sample_id", *columns))


def _tagging_with(platform: Platform, engine: str) -> Platform:
    """The deployment if this engine tagged."""
    return Platform(platform.settings.model_copy(update={"tagging_engine": engine}))


def _told(units: int, replies: Sequence[Reply | None]) -> Sampled:
    """One request a unit; a picture that cannot be sent costs nothing."""
    spent = [_spent([] if reply is None else [reply]) for reply in replies]
    return Sampled(units, spent, sum(reply is not None and reply.problem is not None for reply in replies))


def _spent(replies: Sequence[Reply]) -> Spent:
    used = [reply.usage for reply in replies]
    tokens = sum(u.prompt_tokens for u in used), sum(u.completion_tokens for u in used)
    hours = sum(reply.machine_s for reply in replies) / 3600
    return Spent(len(replies), *tokens, hours, sum(reply.paid for reply in replies))


#: Asks about some units of a source: platform, source, engine, how many, seed, and what closes the engine.
Step = Callable[[Platform, str, str, int, int, ExitStack], Sampled]
STEPS: Final[Mapping[str, Step]] = {
    "labelling": _labelling,
    "tagging": _tagging,
    "synthesis": _synthesis,
    "scoring": _scoring,
}
