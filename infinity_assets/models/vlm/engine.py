"""What every engine offers, and the errors that concern the engine and not a request."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self

from infinity_assets.errors import InfinityError
from infinity_assets.models.vlm.replies import Reply
from infinity_assets.models.vlm.requests import Request


class EngineError(InfinityError):
    """The engine as a whole does not work: unreachable, key refused, no such model. No paid reply is lost."""


class Engine(Protocol):
    """A model that can be asked. Opened as an async context by whoever asks, in the loop that asks."""

    @property
    def name(self) -> str:
        """Which kind: ``openai``, ``vllm``, ``fake``."""

    @property
    def model(self) -> str:
        """The model's name."""

    @property
    def revision(self) -> str:
        """Which weights; part of the hash of every request."""

    async def ready(self) -> None:
        """Returns when it can be asked: an own server starts with the first call.

        Raises:
            EngineError: it does not start.
        """

    async def complete(self, request: Request) -> Reply:
        """Ask once, with all retries.

        Raises:
            EngineError: if the engine as a whole does not work.
        """

    async def __aenter__(self) -> Self:
        """Open connections."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close them."""
