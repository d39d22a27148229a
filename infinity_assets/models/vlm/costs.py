"""What requests cost: a ledger by prompt and model, of what was ever paid and of what this run paid."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from infinity_assets.models.vlm.replies import Reply


@dataclass(frozen=True, slots=True)
class Cost:
    """Of all requests that were built from one version of a prompt for one model."""

    prompt: str  #: ``<name>.<language>@<version>``
    model: str  #: ``<name>@<revision>``
    requests: int = 0  #: that have a reply, or failed
    failed: int = 0  #: of these: replies that could not be used
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0  #: when they were asked
    asked: int = 0  #: of the requests: not replayed, but sent by this run
    spent: float = 0.0  #: of the cost: by this run

    def __add__(self, other: Cost) -> Cost:
        return replace(
            self,
            requests=self.requests + other.requests,
            failed=self.failed + other.failed,
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            cost=self.cost + other.cost,
            asked=self.asked + other.asked,
            spent=self.spent + other.spent,
        )


def cost_of(prompt: str, model: str, reply: Reply) -> Cost:
    """Of one request."""
    return Cost(
        prompt,
        model,
        1,
        int(reply.problem is not None),
        reply.usage.prompt_tokens,
        reply.usage.completion_tokens,
        reply.paid,
        int(not reply.cached),
        reply.usage.cost,
    )


def ledger(costs: Iterable[Cost]) -> list[Cost]:
    """Summed by prompt and model, in their order."""
    summed: dict[tuple[str, str], Cost] = {}
    for cost in costs:
        key = (cost.prompt, cost.model)
        summed[key] = summed[key] + cost if key in summed else cost
    return [summed[key] for key in sorted(summed)]


def to_json(costs: Sequence[Cost]) -> list[dict[str, Any]]:
    """What is remembered of what is published: not what the run did that wrote it."""
    of_the_run = {"asked", "spent"}
    return [{k: v for k, v in asdict(cost).items() if k not in of_the_run} for cost in costs]


def from_json(values: Iterable[dict[str, Any]]) -> list[Cost]:
    """Read what :func:`to_json` wrote."""
    return [Cost(**value) for value in values]


def books(published: Iterable[Iterable[dict[str, Any]]], of_this_run: Iterable[Cost]) -> list[Cost]:
    """The ledger of everything that is published, with what this run asked and spent, published or not.

    Args:
        published: what :func:`to_json` made of the costs of each shard.
        of_this_run: see :func:`cost_of`.
    """
    mine = [Cost(c.prompt, c.model, asked=c.asked, spent=c.spent) for c in of_this_run]
    return ledger([*(cost for shard in published for cost in from_json(shard)), *mine])


def noted(costs: Iterable[Cost]) -> list[dict[str, Any]]:
    """As notes of a stage hold them: with what the run did. :func:`from_json` reads them."""
    return [asdict(cost) for cost in costs]
