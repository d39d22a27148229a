"""Runs in processes of their own end as runs in one process do, and end with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import dagster as dg
import pytest

from infinity_assets.orchestration.instance import open_instance
from infinity_assets.orchestration.run import run_pipeline
from infinity_assets.orchestration.side_by_side import side_by_side
from infinity_assets_tests import processes
from infinity_assets_tests.orchestration.small import small_platform

PIPELINE = """
import signal
import sys
from pathlib import Path
from infinity_assets.orchestration.run import run_pipeline
from infinity_assets.platform import Platform
from infinity_assets.settings import Settings

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where tests run in the background
    home, catalogue = map(Path, sys.argv[1:])
    platform = Platform(Settings(home=home, catalogue=catalogue))
    told = lambda event: print(event.kind, event.stage, flush=True)
    run_pipeline(platform, list(platform.catalogue), told, at_once=2)
"""


def versions(report):
    return {(o.stage, o.partition): o.result.published.data_version for o in report.outcomes if o.result}


def test_two_at_once_publish_what_one_after_the_other_publishes(tmp_path):
    """A data set must not depend on how many cores the machine has that makes it."""
    events = []
    one, two = small_platform(tmp_path / "one"), small_platform(tmp_path / "two")
    expected = run_pipeline(one, list(one.catalogue), lambda event: None)
    report = run_pipeline(two, list(two.catalogue), events.append, at_once=2)
    assert versions(report) == versions(expected)
    assert [(o.stage, o.partition) for o in report.failed] == [("raw", "broken")]
    ended = [(e.stage, e.partition) for e in events if e.kind in {"finished", "failed"}]
    assert sorted(ended) == sorted((o.stage, o.partition) for o in report.outcomes)


def test_a_process_that_dies_costs_its_own_run_alone(tmp_path):
    """A source that takes all memory must not cost the night's run of the others."""
    platform = small_platform(tmp_path)
    with side_by_side(platform, lambda event: None, 1) as runs:
        (process,) = runs._processes
        os.kill(process._process.pid, signal.SIGKILL)
        died = runs.run("ingest", "alpha")
        after = runs.run("ingest", "beta")
    assert (died.ok, after.ok) == (False, True)
    assert "exit code -9" in died.outcomes[0].error


@pytest.mark.timeout(100)
def test_whoever_listens_no_more_ends_the_run(tmp_path):
    """Lost otherwise: a run whose output went to `head` waits for ever for a process that is well."""
    platform = small_platform(tmp_path)

    def closed(event):
        raise BrokenPipeError("nobody reads what is printed")

    with pytest.raises(BrokenPipeError, match="nobody reads"):
        run_pipeline(platform, ["alpha", "beta"], closed, at_once=2)


@pytest.mark.parametrize(("told", "recorded"), [(signal.SIGINT, True), (signal.SIGKILL, False)])
def test_processes_of_runs_end_with_the_command(tmp_path, told, recorded):
    """Ctrl-C must leave no run that goes on unseen, nor one that Dagster shows as running for ever."""
    platform = small_platform(tmp_path)
    script = tmp_path / "pipeline.py"
    script.write_text(PIPELINE)
    settings = platform.settings
    command = [sys.executable, str(script), str(settings.home), str(settings.catalogue)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
    ) as pipeline:
        for line in pipeline.stdout:
            if line == "started unified\n":
                break
        family = processes.descendants(pipeline.pid)
        assert len(family) >= 2
        pipeline.send_signal(told)
    until = time.monotonic() + 30
    while (left := family & set(processes.running())) and time.monotonic() < until:
        time.sleep(0.1)
    assert not left
    with open_instance(settings.home) as instance:
        running = instance.get_run_records(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
        assert not running or not recorded
