"""What scoring a source, or writing new samples about its pictures, would cost with an engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from operator import add
from typing import Any, Final

from infinity_assets.errors import CatalogueError
from infinity_assets.models.vlm.ask import complete_all
from infinity_assets.models.vlm.cache import ReplyCache
from infinity_assets.models.vlm.config import EngineConfig
from infinity_assets.models.vlm.engine import Engine
from infinity_assets.models.vlm.engines import open_engine
from infinity_assets.models.vlm.replies import Reply
from infinity_assets.models.vlm.requests import Request
from infinity_assets.platform import Platform
from infinity_assets.pricing.estimate import Estimate, Spent, draw, extrapolate
from infinity_assets.stages.scored.inputs import Inputs
from infinity_assets.stages.scored.score import score_samples

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


class Meter:
    """Asks an engine, keeps every reply, and remembers what each cost when it was asked."""

    def __init__(self, engine: Engine, config: EngineConfig, cache: ReplyCache) -> None:
        self._engine, self._config, self._cache = engine, config, cache
        self.model = f"{config.model}@{config.revision}"
        self.failed = 0
        self._replies: dict[str, Reply] = {}

    def ask(self, requests: Iterable[Request]) -> list[Reply]:
        """Replies in the order of the requests."""
        config = self._config
        replies = complete_all(
            self._engine,
            requests,
            cache=self._cache,
            prices=config.prices,
            concurrency=config.concurrency,
        )
        self._replies |= {reply.request_hash: reply for reply in replies}
        self.failed += sum(reply.problem is not None for reply in replies)
        return replies

    def spent(self, request_hashes: Sequence[str]) -> Spent:
        """What some requests took together."""
        mine = [self._replies[name] for name in request_hashes]
        return Spent(
            len(mine),
            sum(reply.usage.prompt_tokens for reply in mine),
            sum(reply.usage.completion_tokens for reply in mine),
            sum(reply.machine_s for reply in mine) / 3600,
            sum(reply.paid for reply in mine),
        )


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
        engine: a name of ``engines.yaml``; the step's policy may name another one, or none.
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
    cache = ReplyCache(platform.store.objects)
    gpus = platform.settings.vllm_gpus if config.engine == "vllm" else 0
    prices = []
    try:
        with open_engine(config, platform.settings.home / "logs") as opened:
            for number, step in enumerate(steps or STEPS):
                meter = Meter(opened, config, cache)
                units, spent = STEPS[step](platform, source, engine, meter, samples, seed)
                estimate = extrapolate(spent, units, seed + number)
                prices.append(Price(step, estimate, meter.failed, config.prices.currency, gpus))
    finally:
        cache.close()
    if len(prices) > 1:
        together = reduce(add, (one.estimate for one in prices))
        failed = sum(one.failed for one in prices)
        prices.append(Price("together", together, failed, config.prices.currency, gpus))
    return prices


def _scoring(
    platform: Platform, source: str, engine: str, meter: Meter, samples: int, seed: int
) -> tuple[int, list[Spent]]:
    policy = platform.scoring
    inputs = Inputs(platform, source, policy, platform.engine(engine))
    if not inputs.rows:
        raise CatalogueError(f"{source}: no sample was kept, so there is nothing to score")
    wanted, chosen, first = draw(inputs.rows, max(2, samples), seed), [], 0
    for place in range(len(inputs.shards)):
        size = inputs.size(place)
        here = [number - first for number in wanted if first <= number < first + size]
        if here:
            found = inputs.samples(place)
            chosen += [found[number] for number in here]
        first += size
    rows = score_samples(chosen, inputs.shown, policy, meter.ask, meter.model)
    return inputs.rows, [meter.spent(row["requests"]) for row in rows]


#: Asks about some units of a source; gives how many there are, and what each of these took.
Measure = Callable[[Platform, str, str, Meter, int, int], tuple[int, list[Spent]]]
STEPS: Final[Mapping[str, Measure]] = {"scoring": _scoring}
