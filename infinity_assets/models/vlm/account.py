"""An open engine with its kept replies, what it may spend, and what each request cost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from infinity_assets.models.vlm.ask import complete_all
from infinity_assets.models.vlm.budget import Budget
from infinity_assets.models.vlm.cache import ReplyCache
from infinity_assets.models.vlm.config import EngineConfig
from infinity_assets.models.vlm.costs import Cost, cost_of, ledger
from infinity_assets.models.vlm.engine import Engine
from infinity_assets.models.vlm.replies import Reply
from infinity_assets.models.vlm.requests import Request


class Account:
    """Asks, and keeps the books of one run of a step."""

    def __init__(self, engine: Engine, config: EngineConfig, cache: ReplyCache, budget: Budget) -> None:
        self._engine, self._config, self._cache, self._budget = engine, config, cache, budget
        self._open: dict[str, Cost] = {}  #: by request, until a shard takes it
        self._taken: set[str] = set()

    def ask(self, requests: Iterable[Request]) -> list[Reply]:
        """Replies in the order of the requests; see :func:`~infinity_assets.models.vlm.ask.complete_all`."""
        prompts: list[str] = []

        def noted() -> Iterator[Request]:
            for request in requests:
                prompts.append(request.prompt)
                yield request

        replies = complete_all(
            self._engine,
            noted(),
            cache=self._cache,
            budget=self._budget,
            prices=self._config.prices,
            concurrency=self._config.concurrency,
        )
        model = f"{self._config.model}@{self._config.revision}"
        for prompt, reply in zip(prompts, replies, strict=True):
            if reply.request_hash not in self._taken and reply.problem != "budget_spent":
                self._open.setdefault(reply.request_hash, cost_of(prompt, model, reply))
        return replies

    def take(self, request_hashes: Iterable[str]) -> list[Cost]:
        """What these requests cost, by prompt. Each is counted once, for whoever takes it first."""
        mine = [name for name in dict.fromkeys(request_hashes) if name in self._open]
        self._taken.update(mine)
        return ledger(self._open.pop(name) for name in mine)
