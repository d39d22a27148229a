"""What scoring a source, or writing new samples about its pictures, would cost with an engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import reduce
from operator import add
from typing import Any, Final

from infinity_assets.errors import CatalogueError
from infinity_assets.models.vlm.ask import complete_all
from infinity_assets.models.vlm.cache import ReplyCache
from infinity_assets.models.vlm.engines import open_engine
from infinity_assets.models.vlm.replies import Reply
from infinity_assets.models.vlm.requests import Request
from infinity_assets.platform import Platform
from infinity_assets.pricing.estimate import Estimate, Spent, draw, extrapolate
from infinity_assets.stages.scored.inputs import Inputs as ScoringInputs
from infinity_assets.stages.scored.score import score_samples
from infinity_assets.stages.synthesized.inputs import Inputs as SynthesisInputs
from infinity_assets.stages.synthesized.policy import SynthesisPolicy

#: What a price names, and in which unit.
FIGURES: Final = ("requests", "prompt_tokens", "completion_tokens", "machine_hours", "cost")


@dataclass(frozen=True)
class Price:
    """Of one step, or of all of them together."""

    step: str
    estimate: Estimate
    failed: int  #: requests of the sample whose reply cannot be used
    currency: str
    gpus: int  #: of the engine's own server; 0 where it has none

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
        samples: how many units (samples, planned questions) to ask about for each step.
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
    prices = []
    for number, step in enumerate(steps or STEPS):
        with ExitStack() as opened:
            found = STEPS[step](platform, source, engine, samples, seed, opened)
        estimate = extrapolate(found.spent, found.units, seed + number)
        prices.append(Price(step, estimate, found.failed, config.prices.currency, gpus))
    if len(prices) > 1:
        together = reduce(add, (one.estimate for one in prices))
        failed = sum(one.failed for one in prices)
        prices.append(Price("together", together, failed, config.prices.currency, gpus))
    return prices


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
    spent = []
    for row in rows:
        mine = [replies[name] for name in row["requests"]]
        used = [reply.usage for reply in mine]
        tokens = sum(u.prompt_tokens for u in used), sum(u.completion_tokens for u in used)
        hours = sum(reply.machine_s for reply in mine) / 3600
        spent.append(Spent(len(mine), *tokens, hours, sum(reply.paid for reply in mine)))
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


#: Asks about some units of a source: platform, source, engine, how many, seed, and what closes the engine.
Step = Callable[[Platform, str, str, int, int, ExitStack], Sampled]
STEPS: Final[Mapping[str, Step]] = {"scoring": _scoring, "synthesis": _synthesis}
