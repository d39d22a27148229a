"""Tests that need torch run where it is: in the environment that ``make ram`` builds."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PYTHON = REPOSITORY / ".envs" / "ram" / "bin" / "python"


def passes_in_torch(folder: Path, least: int) -> str:
    """Run the tests of a folder there; at least so many must pass, and none fail. Gives what pytest said."""
    if not PYTHON.exists():
        pytest.skip("needs torch in an environment of its own: make ram")
    found = subprocess.run(
        [PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider", folder],
        cwd=REPOSITORY,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    told = found.stdout[-6000:] + found.stderr[-2000:]
    assert found.returncode == 0, told
    passed = re.search(r"(\d+) passed", found.stdout)
    assert passed and int(passed[1]) >= least, told
    return found.stdout
