"""The models of the three roles, opened when they are first asked, with kept replies and budget."""

from __future__ import annotations

from collections.abc import Iterable
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
        name = self._roles[role]
        return complete_all(
            self._engine(name),
            requests,
            cache=self._cache,
            budget=self.budget,
            prices=self._platform.engine(name).prices,
            concurrency=IN_HAND,
        )

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
