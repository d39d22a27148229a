"""Which engine to ask and how, as a person writes it into a policy. A key is named here, never held."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


class Prices(BaseModel):
    """What a model costs. A hosted one is paid by the token, an own one by the hour of its machine."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    currency: str = "USD"
    per_million_prompt_tokens: float = Field(default=0.0, ge=0)
    per_million_completion_tokens: float = Field(default=0.0, ge=0)
    per_hour: float = Field(default=0.0, ge=0)  #: of wall time while requests are at work

    def of_tokens(self, prompt: float, completion: float) -> float:
        """Price of tokens, without the hours that they take."""
        return (
            prompt * self.per_million_prompt_tokens + completion * self.per_million_completion_tokens
        ) / 1e6


class Speed(BaseModel):
    """Tokens a second of the machine that is to do the work, with as many requests at once as it takes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompt_tokens_per_s: float = Field(gt=0)  #: pictures' tokens included
    completion_tokens_per_s: float = Field(gt=0)
    gpus: int = Field(default=1, ge=1)  #: of the machine

    def hours(self, prompt: float, completion: float) -> float:
        """How long it reads and writes so many tokens, one after the other."""
        return (prompt / self.prompt_tokens_per_s + completion / self.completion_tokens_per_s) / 3600


class EngineConfig(BaseModel):
    """One engine."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    engine: Literal["openai", "vllm", "fake"]
    model: str  #: name that the server knows; for ``vllm`` a folder or a hub name
    revision: str = "1"  #: of the weights: raise it when the server behind the name changes
    url: str | None = None  #: ``openai`` only: up to and with ``/v1``
    key_env: str | None = None  #: name of the environment variable that holds the key
    requests_per_minute: float | None = Field(default=None, gt=0)
    tokens_per_minute: float | None = Field(default=None, gt=0)
    concurrency: int = Field(default=64, ge=1)  #: most requests at work at once
    attempts: int = Field(default=6, ge=1)
    timeout_s: float = Field(default=120.0, gt=0)
    restart_every: int = Field(default=20_000, ge=1)  #: ``vllm``: requests; the host's memory leaks
    arguments: tuple[str, ...] = ()  #: ``vllm``: further arguments of the server
    environment: Path = Path(".envs/vllm/bin/python")  #: ``vllm``: Python of the server
    prices: Prices = Prices()
    speed: Speed | None = None  #: what a price is told by, instead of the time that its sample took

    @field_validator("url")
    @classmethod
    def _plain_url(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("an http or https address is needed, such as https://host/v1")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("the address must hold no user, password or query; name a key with key_env")
        return url.rstrip("/")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.engine == "openai") != (self.url is not None):
            raise ValueError("engine openai needs url; the others start their own server")
        return self


class Engines(BaseModel):
    """A file ``engines.yaml``: engines by the name that policies and commands call them by."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    engines: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")], EngineConfig] = Field(min_length=1)
