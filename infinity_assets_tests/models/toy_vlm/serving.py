"""The toy model behind a real vLLM server; for whichever tests want to ask it something."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from infinity_assets.models.vlm.config import EngineConfig
from infinity_assets.models.vlm.engine import Engine
from infinity_assets.models.vlm.engines import open_engine

MODEL = Path(__file__).parent / "weights"
ARGUMENTS = (
    *("--dtype", "bfloat16", "--enforce-eager", "--max-model-len", "2048", "--max-num-seqs", "16"),
    *("--limit-mm-per-prompt", '{"image": 4}'),
)


def vllm_python() -> Path:
    """Python of the server's environment; skips the test, or fails it in CI, where it was not built."""
    repository = Path(__file__).resolve().parents[3]
    python = Path(os.environ.get("INFINITY_VLLM_PYTHON") or repository / ".envs/vllm/bin/python")
    if not python.exists():
        pytest.skip("needs the environment of a vLLM server: run `make vllm` (2.5 GB, some minutes)")
    return python


def toy_config(**more: Any) -> EngineConfig:
    """How to serve the toy model; prices are made up."""
    return EngineConfig(
        engine="vllm",
        model=str(MODEL),
        revision=(MODEL / "model.safetensors.sha256").read_text().split()[0][:16],
        environment=vllm_python(),
        arguments=ARGUMENTS,
        concurrency=16,
        **more,
    )


@contextmanager
def open_toy(logs: Path, **more: Any) -> Iterator[Engine]:
    """The toy model, served as long as the context is open."""
    with open_engine(toy_config(**more), logs) as engine:
        yield engine
