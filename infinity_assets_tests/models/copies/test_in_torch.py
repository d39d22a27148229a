"""Runs the tests in ``in_torch`` where torch is, and says what holds where it is not."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from infinity_assets.models.copies import SIDE, CopyDetector, CopyDetectorError
from infinity_assets_tests.models.in_torch import passes_in_torch


@pytest.mark.timeout(600)
def test_a_copy_detector_is_asked_where_torch_is_installed():
    """Lost otherwise: somebody names a network, and it is never asked or its answer never reaches an edge."""
    passes_in_torch(Path(__file__).parent / "in_torch", 5)


def test_a_file_that_is_not_there_is_named(tmp_path):
    """Lost otherwise: a run that ends hours later, or goes on without the witness that was asked for."""
    with pytest.raises(CopyDetectorError, match=r"absent\.pt: there is no such file; INFINITY_COPY_DETECTOR"):
        CopyDetector(tmp_path / "absent.pt")


@pytest.mark.skipif(find_spec("torch") is not None, reason="torch is here")
def test_without_torch_it_says_what_to_install(tmp_path):
    """Lost otherwise: an import error from deep inside."""
    (tmp_path / "named.pt").write_bytes(b"anything")
    with pytest.raises(CopyDetectorError, match=r"install infinity-assets\[ram\]"):
        CopyDetector(tmp_path / "named.pt").embed([np.zeros((SIDE, SIDE, 3), np.uint8)])
