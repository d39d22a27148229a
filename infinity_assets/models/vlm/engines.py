"""Open an engine by its configuration."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infinity_assets.models.vlm.config import EngineConfig
from infinity_assets.models.vlm.engine import Engine


@contextmanager
def open_engine(config: EngineConfig, logs: Path) -> Iterator[Engine]:
    """The engine, with its server if it has one of its own; it serves any number of ``complete_all``.

    An own server starts with the first request that has to be asked; where all are kept, it never does.

    Args:
        logs: folder for the log of an own server.
    """
    # Not above: a run that asks no model would load an HTTP client, a tenth of a second in each process.
    from infinity_assets.models.vlm.client import OpenAIEngine
    from infinity_assets.models.vlm.fake import FakeServer
    from infinity_assets.models.vlm.own import OwnServerEngine
    from infinity_assets.models.vlm.server import vllm_server

    match config.engine:
        case "openai":
            yield OpenAIEngine(config)
        case "fake":
            with FakeServer() as fake:
                yield OpenAIEngine(config, url=lambda: fake.url)
        case "vllm":
            python = Path(os.environ.get("INFINITY_VLLM_PYTHON") or config.environment)
            server = vllm_server(python, config.model, logs / "vllm.log", config.arguments)
            try:
                yield OwnServerEngine(config, server)
            finally:
                server.stop()
