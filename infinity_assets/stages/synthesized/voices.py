"""The models of the three roles, opened when they are first asked, with kept replies, budget and costs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from functools import cached_property
from typing import TYPE_CHECKING, Final

from infinity_assets.errors import CatalogueError
from infinity_assets.models.vlm.ask import complete_all
from infinity_assets.models.vlm.budget import Budget
from infinity_assets.models.vlm.cache import ReplyCache
from infinity_assets.models.vlm.engine import Engine
from infinity_assets.models.vlm.engines import open_engine
from infinity_assets.models.vlm.replies import Reply
from infinity_assets.models.vlm.requests import Request
from infinity_assets.stages.synthesized.costs import Cost, cost_of
from infinity_assets.stages.synthesized.generate import UNSENT

if TYPE_CHECKING:
    from infinity_assets.platform import Platform

#: Requests in hand; the engine's own limit says how many are at work.
IN_HAND: Final = 256


class OpenVoices:
    """Who writes, judges and scores, as ``synthesis.yaml`` names them in ``engines.yaml``.

    An own server starts with the first request that no kept reply answers, and stops when ``opened`` closes.
    Where two roles have servers of their own, both may run at once: their ``arguments`` share out the GPU.
    """

    def __init__(self, platform: Platform, opened: ExitStack) -> None:
        """Raises CatalogueError if the engines are paid in different currencies."""
        policy = platform.synthesis
        self._platform, self._opened = platform, opened
        roles = {"writer": policy.engine, "judge": policy.judge or policy.engine, "scorer": policy.scorer}
        self._roles = {role: name for role, name in roles.items() if name is not None}
        currencies = sorted({platform.engine(name).prices.currency for name in policy.engines})
        if len(currencies) > 1:
            raise CatalogueError(
                f"synthesis.yaml names engines priced in {' and '.join(currencies)}; state their prices"
                " in one currency in engines.yaml, or no budget can be held"
            )
        self.currency = currencies[0]
        self.budget = Budget(policy.budget, counts_kept=True)
        self._engines: dict[str, Engine] = {}
        self._costs: list[Cost] = []

    def model(self, role: str) -> str | None:
        """Name and revision of the model of a role; null where nobody has it."""
        name = self._roles.get(role)
        if name is None:
            return None
        config = self._platform.engine(name)
        return f"{config.model}@{config.revision}"

    def ask(self, role: str, requests: Iterable[Request]) -> list[Reply]:
        """Replies in the order of the requests.

        Raises:
            EngineError: the engine as a whole does not work. What was answered is kept.
        """
        name, model = self._roles[role], self.model(role) or ""
        prompts: list[str] = []

        def noted() -> Iterator[Request]:
            for request in requests:
                prompts.append(request.prompt)
                yield request

        replies = complete_all(
            self._engine(name),
            noted(),
            cache=self._cache,
            budget=self.budget,
            prices=self._platform.engine(name).prices,
            concurrency=IN_HAND,
        )
        self._costs += [
            cost_of(prompt, model, reply)
            for prompt, reply in zip(prompts, replies, strict=True)
            if reply.problem != UNSENT
        ]
        return replies

    def take_costs(self) -> list[Cost]:
        """Of all requests since the last call."""
        taken, self._costs = self._costs, []
        return taken

    @cached_property
    def _cache(self) -> ReplyCache:
        cache = ReplyCache(self._platform.store.objects)
        self._opened.callback(cache.close)
        return cache

    def _engine(self, name: str) -> Engine:
        if name not in self._engines:
            logs = self._platform.settings.home / "logs" / name
            opened = open_engine(self._platform.engine(name), logs)
            self._engines[name] = self._opened.enter_context(opened)
        return self._engines[name]
