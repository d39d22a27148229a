"""Without this, a process holds what its largest stage took while other processes are at their peak."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from infinity_assets.store.memory import release_memory


def resident() -> int:
    """Bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_that_a_stage_freed_is_given_back_though_later_memory_is_in_use() -> None:
    blocks = [bytes(2000) for _ in range(40_000)]
    last = bytes(2000)  # above the others, so that they cannot be cut off at the end
    before = resident()
    del blocks
    release_memory()
    assert before - resident() > 40_000_000
    assert last
