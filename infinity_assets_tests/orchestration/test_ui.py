"""``make ui`` for real: both servers, a run and a backfill through the API that the UI uses, one Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from infinity_assets.stages.filtered.schema import FILTERED
from infinity_assets.stages.raw.schema import RAW
from infinity_assets_tests.orchestration.small import small_platform
from infinity_assets_tests.processes import free_port

LOCATION = "infinity_assets"
SERVE = "import sys; from pathlib import Path; from infinity_assets.ui import serve; a = sys.argv;"
SERVE += "sys.exit(serve(Path(a[1]), Path(a[2]), None, '127.0.0.1', int(a[3]), int(a[4])))"

LAUNCH_RUN = """mutation Run($p: ExecutionParams!) { launchRun(executionParams: $p) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
RUN = "query Run($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
LAUNCH_BACKFILL = """mutation Fill($p: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $p) {
  __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
BACKFILL = """query Fill($id: String!) { partitionBackfillOrError(backfillId: $id) {
  ... on PartitionBackfill { status } } }"""
RUNS = """query Runs($id: String!) { runsOrError(filter: {tags: [{key: "dagster/backfill", value: $id}]}) {
  ... on Runs { results { status tags { key value } assetSelection { path } } } } }"""
CHECK_PARTITIONS = """query Checks { assetChecksOrError: assetNodeOrError(assetKey: {path: ["raw"]}) {
  ... on AssetNode { hasAssetChecks partitionStats { numMaterialized numFailed numPartitions } } } }"""


def names(environ, home):
    """Whether a process was started for this home (Linux; elsewhere there is no such file to ask)."""
    try:
        return f"INFINITY_HOME={home}\0".encode() in environ.read_bytes()
    except OSError:
        return False


def wait_for(what, seconds, process):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert process.poll() is None, "the servers ended by themselves"
        try:
            if found := what():
                return found
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            pass
        time.sleep(1)
    raise AssertionError(f"not within {seconds} s")


@pytest.mark.timeout(600)
def test_ui_starts_runs_backfills_and_stops(tmp_path):
    """What a user does first: open the UI, materialize one source, backfill all, press Ctrl-C."""
    platform = small_platform(tmp_path)
    port, preview_port = free_port(), free_port()
    settings = platform.settings
    arguments = [str(settings.home), str(settings.catalogue), str(port), str(preview_port)]
    log = (tmp_path / "log").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, *arguments],
        stdout=log,
        stderr=log,
        cwd=tmp_path,
        start_new_session=True,
    )

    def ask(query, **variables):
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/graphql", body, {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            found = json.load(answer)
        assert "errors" not in found, found["errors"]
        return found["data"]

    repository = {"repositoryLocationName": LOCATION, "repositoryName": "__repository__"}
    assets = [{"path": [name]} for name in ("raw", "images", "unified", "duplicate_ledger")]
    assets += [{"path": [name]} for name in ("deduped", "tagged", "filtered")]
    try:
        wait_for(lambda: ask("{ version }")["version"], 120, process)
        with urllib.request.urlopen(f"http://127.0.0.1:{preview_port}/", timeout=20) as page:
            assert b"Samples, stage by stage" in page.read()

        launched = ask(
            LAUNCH_RUN,
            p={
                "selector": {**repository, "pipelineName": "__ASSET_JOB", "assetSelection": assets[:1]},
                "executionMetadata": {"tags": [{"key": "dagster/partition", "value": "alpha"}]},
            },
        )["launchRun"]
        assert launched["__typename"] == "LaunchRunSuccess", launched
        run_id = launched["run"]["runId"]

        def ended():
            status = ask(RUN, id=run_id)["runOrError"]["status"]
            return status if status in {"SUCCESS", "FAILURE", "CANCELED"} else None

        assert wait_for(ended, 120, process) == "SUCCESS"
        assert platform.store.published(RAW, "alpha") is not None

        started = ask(
            LAUNCH_BACKFILL, p={"assetSelection": assets, "partitionNames": ["alpha", "beta", "broken"]}
        )["launchPartitionBackfill"]
        assert started["__typename"] == "LaunchBackfillSuccess", started

        def filled():
            status = ask(BACKFILL, id=started["backfillId"])["partitionBackfillOrError"]["status"]
            return status if status.startswith(("COMPLETED", "FAILED", "CANCELED")) else None

        assert wait_for(filled, 300, process) == "COMPLETED_FAILED"  # the broken source, and nothing else
        runs = ask(RUNS, id=started["backfillId"])["runsOrError"]["results"]
        by_assets = [sorted(asset["path"][0] for asset in run["assetSelection"]) for run in runs]
        assert by_assets.count(["images", "raw", "unified"]) == 3
        comparing = [names for names in by_assets if "duplicate_ledger" in names]
        # One run, or two where one source was ready at an earlier tick of Dagster's daemon than the other.
        assert comparing and comparing == [["duplicate_ledger"]] * len(comparing), (
            "sources are compared when they all are read, not in the run of each"
        )
        for name in ("alpha", "beta"):
            assert platform.store.published(FILTERED, name) is not None
        assert platform.store.published(RAW, "broken") is None
        stats = ask(CHECK_PARTITIONS)["assetChecksOrError"]
        assert stats["hasAssetChecks"]
        assert stats["partitionStats"] == {"numMaterialized": 2, "numFailed": 1, "numPartitions": 3}
    finally:
        os.kill(process.pid, signal.SIGINT)
        try:
            assert process.wait(60) == 0
        finally:
            log.close()
            print((tmp_path / "log").read_text(errors="replace")[-4000:])
    for used in (port, preview_port):
        with socket.socket() as s:
            assert s.connect_ex(("127.0.0.1", used)) != 0
    assert [p for p in Path("/proc").glob("[0-9]*/environ") if names(p, settings.home)] == []


SLEEPERS = """
import sys
from pathlib import Path
from infinity_assets import ui

SLOW = "import signal, sys, time; end = lambda *_: (time.sleep(2), sys.exit());"
SLOW += "signal.signal(signal.SIGINT, end); print('ready', flush=True); time.sleep(60)"
ui._commands = lambda *given: [[sys.executable, "-c", SLOW]] * 2
sys.exit(ui.serve(Path(sys.argv[1]), Path(sys.argv[1]), None, "127.0.0.1", 1, 2))
"""


def test_ctrl_c_pressed_many_times_stops_all_the_same(tmp_path):
    """Lost otherwise: a UI that waits for itself, and keeps its ports, because somebody was impatient."""
    command = [sys.executable, "-c", SLEEPERS, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as served:
        try:
            ready = 0
            while ready < 2:
                ready += served.stdout.readline() == "ready\n"
            until = time.monotonic() + 1
            while served.poll() is None and time.monotonic() < until:
                served.send_signal(signal.SIGINT)
            assert served.wait(30) == 0
        finally:
            served.kill()
