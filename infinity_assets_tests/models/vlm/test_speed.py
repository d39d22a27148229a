"""Without this, whoever has a GPU for an hour spends it on a benchmark that does not start."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
PYTHON = REPOSITORY / ".envs" / "vllm" / "bin" / "python"
LOADS = REPOSITORY / "infinity_assets" / "models" / "vlm" / "torch_without_cuda"


@pytest.mark.timeout(300)
def test_speed_of_a_large_model_is_measured_with_a_tiny_one_on_a_cpu_and_says_so() -> None:
    if not PYTHON.exists():
        pytest.skip("needs transformers in an environment of its own: make vllm")
    command = [PYTHON, "-m", "benchmarks.vlm_speed", "--side", "112", "--text", "16", "--answer", "8"]
    environment = {**os.environ, "PYTHONPATH": str(LOADS), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout.splitlines()[-1])
    figures = told["figures"]
    assert told["met"] is None and "speed only" in told["target"] and "ran on cpu" in told["why"]
    assert (
        figures["picture_tokens"] == 16 and figures["prompt_tokens"] == 32 and figures["context_tokens"] == 36
    )
    for name in ("prefill_tokens_per_s", "decode_tokens_per_s"):
        assert figures[name] and all(rate > 0 for rate in figures[name].values())
