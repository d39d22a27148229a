"""Without this, a process holds what its largest stage took while other processes are at their peak."""

from __future__ import annotations

import subprocess
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


def test_a_process_that_reads_tables_does_without_pandas_until_it_asks_for_it() -> None:
    code = """
import subprocess
import sys
from infinity_assets.store.memory import spare_pandas
spare_pandas()
import lance, pyarrow as pa
table = pa.table({"a": [1, 2]})
assert "pandas" not in sys.modules
assert list(table.to_pandas()["a"]) == [1, 2]
import pandas as pd
assert pa.Table.from_pandas(pd.DataFrame({"a": [1, 2]}), preserve_index=False).equals(table)
assert pa.array(pd.Series([1, None])).to_pylist() == [1.0, None]
"""
    subprocess.run([sys.executable, "-c", code], check=True)
