"""Runs the tests in ``in_torch`` where torch is: in the environment that ``make ram`` builds."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
PYTHON = REPOSITORY / ".envs" / "ram" / "bin" / "python"


@pytest.mark.timeout(600)
def test_tagging_by_pixels_holds_where_torch_is_installed():
    """Lost otherwise: the published weights no longer load, or give other tags than they should."""
    if not PYTHON.exists():
        pytest.skip("needs torch in an environment of its own: make ram")
    found = subprocess.run(
        [PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider", Path(__file__).parent / "in_torch"],
        cwd=REPOSITORY,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    told = found.stdout[-6000:] + found.stderr[-2000:]
    assert found.returncode == 0, told
    passed = re.search(r"(\d+) passed", found.stdout)
    assert passed and int(passed[1]) >= 20, told
    assert "skipped" not in found.stdout or os.environ.get("CI") != "true", told
