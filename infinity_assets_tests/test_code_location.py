"""What the code location loads. How long it takes is for ``benchmarks/code_location.py`` to say."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from infinity_assets_tests.orchestration.small import small_platform

LOAD = """
import json, sys
import infinity_assets.orchestration.run
from infinity_assets.definitions import defs
jobs = defs().get_repository_def().get_all_jobs()
print(json.dumps([len(jobs), sorted({name.partition(".")[0] for name in sys.modules})]))
"""

#: Libraries that cost seconds or gigabytes, and those that only a step's own work needs.
HEAVY = {
    *(
        "torch",
        "great_expectations",
        "dbt",
        "streamlit",
        "kubernetes",
        "vllm",
        "onnxruntime",
        "scipy",
        "pandas",
    ),
    *("lance", "lancedb", "duckdb", "aiohttp", "uvloop", "boto3", "tiktoken", "pebble"),
}


def test_the_code_location_and_a_run_load_none_of_the_heavy_libraries(tmp_path):
    """Lost otherwise: seconds of every run, of every sensor's tick and of every start of the UI."""
    settings = small_platform(tmp_path).settings
    environment = {"INFINITY_HOME": str(settings.home), "INFINITY_CATALOGUE": str(settings.catalogue)}
    said = subprocess.run(
        [sys.executable, "-c", LOAD],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    jobs, loaded = json.loads(said.splitlines()[-1])
    assert jobs > 5 and {"dagster", "infinity_assets"} <= set(loaded)
    assert HEAVY & set(loaded) == set()


def test_a_process_with_the_platform_does_not_look_through_all_of_it_when_it_ends():
    """Lost otherwise: half a second of each run's process, and a second where rows were judged."""
    code = "import atexit, gc; atexit.register(lambda: print(gc.get_freeze_count()))"
    said = subprocess.run(
        [sys.executable, "-c", f"{code}; import infinity_assets.definitions"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert int(said) > 100_000
