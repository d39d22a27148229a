"""One client of the OpenAI protocol: attempts, limits, time-outs, and what each failure means."""

from __future__ import annotations

import asyncio
import math
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Self

import aiohttp

from infinity_assets.errors import one_line
from infinity_assets.models.vlm.config import EngineConfig
from infinity_assets.models.vlm.engine import EngineError
from infinity_assets.models.vlm.pacing import Concurrency, Rate, wait_before
from infinity_assets.models.vlm.replies import Reply, Usage
from infinity_assets.models.vlm.requests import Request
from infinity_assets.models.vlm.wire import Pictures, decode, encode

LARGEST_REPLY = 32 << 20  #: bytes
LONGEST_RETRY_AFTER_S = 300.0
PICTURE_TOKENS = 1000  #: assumed for the limit of tokens until the server tells the true number

#: Requests given up with no reply in between, before the server counts as broken (our choice).
FAILED_IN_A_ROW = 3

#: Statuses that say "later". Anything else below 500 is about the request, or about the deployment.
_BUSY = frozenset({408, 409, 425, 429, 503, 529})
_DEPLOYMENT = {
    401: "the key is refused; set the variable that key_env names",
    403: "the key may not use this model",
    404: "no such model or address; compare model and url with the server's list of models",
    405: "not a chat server; the url must end with /v1",
}


class ServerGone(Exception):
    """The own server died. ``asked`` tells whether it had the request, and so may have died of it."""

    def __init__(self, asked: bool) -> None:
        super().__init__()
        self.asked = asked


@dataclass(frozen=True, slots=True)
class _Failure:
    """One attempt that brought no reply."""

    told: str
    overloaded: bool = False
    unreachable: bool = False  #: there was no connection at all
    retry_after: float | None = None


class OpenAIEngine:
    """Asks a chat server. Opened in the loop that asks; the connections are used again and again."""

    def __init__(
        self,
        config: EngineConfig,
        *,
        url: Callable[[], str] | None = None,
        alive: Callable[[], bool] = lambda: True,
    ) -> None:
        """``url`` and ``alive`` belong to an own server, whose address changes when it is started again."""
        self._config, self._alive = config, alive
        self._url = url or (lambda: config.url or "")
        self._pictures = Pictures()
        self._places = Concurrency(config.concurrency, slow_s=config.timeout_s / 2)  # what it learned stays
        self._session: aiohttp.ClientSession | None = None
        self._answered = 0  # requests that brought a reply
        self._failed = 0  # requests given up since the last that did

    name = "openai"

    @property
    def model(self) -> str:
        """The model's name."""
        return self._config.model

    @property
    def revision(self) -> str:
        """Which weights."""
        return self._config.revision

    async def __aenter__(self) -> Self:
        config = self._config
        self._requests, self._tokens = Rate(config.requests_per_minute), Rate(config.tokens_per_minute)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60),
            timeout=aiohttp.ClientTimeout(total=config.timeout_s, connect=min(10.0, config.timeout_s)),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Content-Type": "application/json", **self._authorization()},
            skip_auto_headers=("User-Agent", "Accept"),
            read_bufsize=1 << 20,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def ready(self) -> None:
        """Nothing has to start here."""

    async def complete(self, request: Request) -> Reply:
        """Ask until there is a reply, or until asking further makes no sense.

        Raises:
            EngineError: the server cannot be reached, or refuses everyone.
            ServerGone: the own server died.
        """
        config = self._config
        request_hash = request.request_hash(config.model, config.revision)
        body = encode(request, config.model, self._pictures)
        rng = random.Random(request_hash)  # the same waits for the same request, whatever runs beside it
        guess = _guess_tokens(request)
        failure = _Failure("")
        answered_before, asked = self._answered, False
        for attempt in range(1, config.attempts + 1):
            if pause := max(self._requests.delay(1), self._tokens.delay(guess)):
                await asyncio.sleep(pause)
            entered = await self._places.enter()
            overloaded = True
            try:
                outcome = await self._attempt(body, request, request_hash)
                overloaded = isinstance(outcome, _Failure) and outcome.overloaded
            finally:
                self._places.leave(entered, overloaded)
            if isinstance(outcome, Reply):
                used = outcome.usage
                if outcome.problem != "bad_request":
                    self._answered, self._failed = self._answered + 1, 0
                    self._tokens.correct(used.prompt_tokens + used.completion_tokens - guess)
                return outcome
            self._tokens.correct(-guess)
            failure = outcome
            asked = asked or not failure.unreachable
            if not self._alive():
                raise ServerGone(asked)
            if attempt < config.attempts:
                await asyncio.sleep(wait_before(attempt, rng, failure.retry_after))
        nobody = self._answered == answered_before
        self._failed = self._failed + 1 if nobody else 1
        if nobody and (failure.unreachable or failure.overloaded or self._failed >= FAILED_IN_A_ROW):
            raise EngineError(
                f"{self._url()}: {failure.told} ({config.attempts} attempts); "
                "what was answered is kept: run again when the server works"
            )
        return Reply(request_hash, config.model, problem="engine_error", detail=failure.told)

    async def _attempt(self, body: bytes, request: Request, request_hash: str) -> Reply | _Failure:
        assert self._session is not None, "the engine is not open"
        began = time.perf_counter()
        try:
            async with self._session.post(
                f"{self._url()}/chat/completions", data=body, allow_redirects=False
            ) as response:
                answer = await _read(response)
                status, later = response.status, response.headers.get("Retry-After")
        except TimeoutError:
            return _Failure(f"no reply within {self._config.timeout_s:g} s", overloaded=True)
        except aiohttp.ClientConnectorError as error:
            return _Failure(f"cannot connect: {error.os_error.strerror or error.os_error}", unreachable=True)
        except (aiohttp.ClientError, ConnectionError) as error:
            told = self._hide(str(error)) or type(error).__name__
            return _Failure(f"the connection broke: {told}")
        if status == 200:
            try:
                reply = decode(answer, request, request_hash, self._config.model)
            except ValueError as error:
                return _Failure(str(error))
            return self._priced(reply, time.perf_counter() - began)
        return self._refused(status, answer, later, request_hash)

    def _priced(self, reply: Reply, seconds: float) -> Reply:
        used = reply.usage
        cost = self._config.prices.of_tokens(used.prompt_tokens, used.completion_tokens)
        return replace(reply, usage=Usage(used.prompt_tokens, used.completion_tokens, seconds, cost))

    def _refused(self, status: int, answer: bytes, later: str | None, request_hash: str) -> Reply | _Failure:
        told = f"status {status}: {self._hide(answer[:300].decode('utf-8', 'replace'))}"
        if status in _DEPLOYMENT:
            raise EngineError(f"{self._url()}: {_DEPLOYMENT[status]} ({told})")
        if status in _BUSY:
            return _Failure(told, overloaded=True, retry_after=_seconds(later))
        if 300 <= status < 400:
            raise EngineError(f"{self._url()}: redirected ({told}); name the final address")
        if status < 500:
            return Reply(request_hash, self._config.model, problem="bad_request", detail=told)
        return _Failure(told, retry_after=_seconds(later))

    def _authorization(self) -> dict[str, str]:
        if self._config.key_env is None:
            return {}
        key = os.environ.get(self._config.key_env, "")
        if not key.strip():
            raise EngineError(f"the environment variable {self._config.key_env} holds no key")
        if not (key.isascii() and key.isprintable()):
            raise EngineError(f"the environment variable {self._config.key_env} holds no header's text")
        return {"Authorization": f"Bearer {key.strip()}"}

    def _hide(self, told: str) -> str:
        """What a server said, in one line and without the key, which some servers repeat."""
        key = os.environ.get(self._config.key_env or "", "").strip()
        return one_line(told.replace(key, "***") if key else told)


async def _read(response: aiohttp.ClientResponse) -> bytes:
    declared = response.content_length
    if declared is not None and declared > LARGEST_REPLY:
        raise aiohttp.ClientPayloadError(f"a reply of {declared} bytes; the limit is {LARGEST_REPLY}")
    if declared is not None:
        return await response.read()
    parts, size = [], 0
    async for part in response.content.iter_any():
        parts.append(part)
        size += len(part)
        if size > LARGEST_REPLY:
            raise aiohttp.ClientPayloadError(f"a reply of more than {LARGEST_REPLY} bytes")
    return b"".join(parts)


def _guess_tokens(request: Request) -> int:
    """Tokens that a request may cost, before the server has told: four characters a token, our choice."""
    prompt = sum(
        len(part) // 4 if isinstance(part, str) else PICTURE_TOKENS
        for message in request.messages
        for part in message.parts
    )
    return prompt + request.sampling.max_tokens


def _seconds(retry_after: str | None) -> float | None:
    """The header as seconds: a number or a date (RFC 9110, 10.2.3); what is neither counts as absent."""
    if retry_after is None:
        return None
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(retry_after).timestamp() - time.time()
        except (ValueError, TypeError):
            return None
    return None if math.isnan(seconds) else min(max(0.0, seconds), LONGEST_RETRY_AFTER_S)
