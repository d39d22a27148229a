"""Without this, whoever has a GPU for an hour spends it on a benchmark that does not start."""

from __future__ import annotations

import json
import sys

import pytest

from benchmarks import ram_plus


def test_benchmark_runs_on_a_cpu_and_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ram_plus.torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["ram_plus", "--pictures", "12", "--batch", "4", "--side", "64"])
    ram_plus.main()
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["met"] is None and "ran on cpu, small" in told["why"]
    assert told["figures"]["device"].startswith("cpu") and 0 < told["figures"]["share"] < 1
