"""``infinity backfill``: which runs there are, a stop, a kill, a second start."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infinity_assets.definitions import platform_defs
from infinity_assets.errors import CatalogueError, StoreError
from infinity_assets.orchestration.backfill import BY, TAG, run_backfill
from infinity_assets.orchestration.backfill_plan import STAGES, TOGETHER, phases, seconds_left
from infinity_assets.orchestration.instance import open_instance
from infinity_assets.stages.deduped.schema import DEDUPED
from infinity_assets.stages.unified.schema import UNIFIED
from infinity_assets_tests.orchestration.small import add_source, small_platform, write_spec

READ = ("raw", "images", "unified")


@given(st.sets(st.sampled_from(STAGES), min_size=1))
def test_every_stage_asked_for_is_in_one_phase_and_those_of_one_function_stay_together(stages):
    """Lost otherwise: a stage that is silently not run, or is run twice."""
    found = [stage for phase in phases(sorted(stages)) for stage in phase.stages]
    assert len(found) == len(set(found)) and stages <= set(found)
    assert all(group <= set(found) or not group & set(found) for group in TOGETHER)
    assert found == [stage for stage in STAGES if stage in found]
    chosen = phases(sorted(stages))
    assert all(a.of != b.of for a, b in itertools.pairwise(chosen)), "runs that could be one"


def test_the_order_is_that_of_the_graph_and_has_every_asset(tmp_path):
    """Lost otherwise: an asset that is new and that no backfill knows."""
    graph = platform_defs(small_platform(tmp_path)).resolve_asset_graph()
    names = {key.to_user_string() for key in graph.get_all_asset_keys()}
    assert names - set(STAGES) == {"quality_snapshot", "quality_marts"}, (
        "those are of all tables, each morning"
    )
    for stage in STAGES:
        for parent in graph.get(dg.AssetKey(stage)).parent_keys:
            assert STAGES.index(parent.to_user_string()) < STAGES.index(stage), (parent, stage)


def test_what_is_left_is_reckoned_from_what_was_done():
    assert seconds_left(0, 10, 5) is None
    assert seconds_left(2, 10, 30) == 120
    assert seconds_left(12, 10, 30) == 0


def start(platform, *, stages=STAGES[:-10], sources=None, at_once=1):
    told = []
    report = run_backfill(
        platform, sources or ["alpha", "beta"], stages, lambda event: None, lambda *n: told.append(n), at_once
    )
    return report, told


def runs(platform):
    with open_instance(platform.settings.home) as instance:
        return instance.get_runs(dg.RunsFilter(tags=BY))


def test_a_backfill_runs_each_thing_once_and_started_twice_does_nothing_twice(tmp_path):
    """Lost otherwise: a ledger compared once a source, or a night of work done again."""
    platform = small_platform(tmp_path)
    stages = (*READ, "duplicate_ledger", "deduped")
    report, told = start(platform, stages=stages)
    assert report.failed == () and report.done_before == 0
    assert (report.runs, told[-1]) == (5, (5, 5, 0)), "two sources read, one ledger, two sources decided"
    assert len(runs(platform)) == 5
    assert {run.tags[TAG] for run in runs(platform)} == {report.id}
    assert platform.store.require(DEDUPED, "beta").rows == 2
    with open_instance(platform.settings.home) as instance:
        assert instance.get_materialized_partitions(dg.AssetKey("duplicate_ledger")) == {"alpha", "beta"}
    again, _ = start(platform, stages=stages)
    assert again.id == report.id and again.failed == ()
    assert not any(o.result.committed for o in again.outcomes)
    assert platform.store.objects.children("_backfills") == [], "both ended, so nothing is left to go on with"


def test_a_failed_source_is_run_again_and_what_spans_sources_with_it(tmp_path):
    """Lost otherwise: a source that was mended and that the ledger never saw."""
    platform = small_platform(tmp_path)
    stages = (*READ, "duplicate_ledger", "deduped")
    names = ["alpha", "beta", "broken"]
    report, _ = start(platform, stages=stages, sources=names)
    assert [(o.stage, o.partition) for o in report.failed] == [("raw", "broken")]
    add_source(platform.settings.catalogue, "broken", ["red", "black"])
    again, _ = start(platform, stages=stages, sources=names)
    assert (again.id, again.failed, again.done_before) == (report.id, (), 4)
    assert {o.partition for o in again.outcomes if o.stage == "raw"} == {"broken"}
    assert platform.store.require(DEDUPED, "broken").rows == 2


def test_names_that_do_not_exist_are_refused_before_anything_runs(tmp_path):
    platform = small_platform(tmp_path)
    with pytest.raises(CatalogueError, match="no stage dedupd; there are: raw, "):
        start(platform, stages=["dedupd"])
    with pytest.raises(CatalogueError, match="alpah"):
        start(platform, sources=["alpah"])
    assert not (platform.settings.home / "store").exists()


def test_two_runs_at_once_give_what_one_gives(tmp_path):
    found = []
    for at_once in (1, 2):
        (tmp_path / str(at_once)).mkdir()
        platform = small_platform(tmp_path / str(at_once))
        report, _ = start(platform, stages=READ, at_once=at_once)
        assert report.failed == () and report.runs == 2
        found.append([platform.store.require(UNIFIED, name).data_version for name in ("alpha", "beta")])
    assert found[0] == found[1]


@pytest.fixture
def held(tmp_path, monkeypatch):
    """A platform whose source ``beta`` lies on a server that answers once the event is set."""
    platform = small_platform(tmp_path)
    folder = platform.settings.catalogue / "files" / "beta"
    talk = [{"from": "human", "value": "Which colour?"}, {"from": "gpt", "value": "White."}]
    (folder / "rows.json").write_text(json.dumps([{"id": "1", "conversations": talk}]))
    asked, answers = threading.Event(), threading.Event()

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(folder))

        def do_HEAD(self):
            asked.set()
            answers.wait(60)
            super().do_HEAD()

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("INFINITY_ALLOW_HOSTS", "127.0.0.1")
        write_spec(
            platform.settings.catalogue,
            "beta",
            location=f"http://127.0.0.1:{server.server_port}/rows.json",
        )
        yield platform, asked, answers
        answers.set()
        server.shutdown()


def command(platform, *more):
    settings = platform.settings
    words = [sys.executable, "-m", "infinity_assets.cli", "backfill", "--home", settings.home]
    words += ["--catalogue", settings.catalogue, "--sources", "alpha,beta", "--stages", "raw", *more]
    return subprocess.Popen(
        [str(word) for word in words], stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def until(process, word):
    """Read what it says until a line has the word."""
    said = ""
    assert process.stderr is not None
    for line in process.stderr:
        said += line
        if word in line:
            return
    raise AssertionError(said)


def alive(session):
    """Processes of a session (Linux); children of runs have sessions of their own, and end with them."""
    return [p for p in Path("/proc").glob("[0-9]*/environ") if session in _environment(p)]


def _environment(path):
    try:
        return path.read_bytes()
    except OSError:
        return b""


@pytest.mark.parametrize(("at_once", "number"), [(1, signal.SIGINT), (2, signal.SIGTERM)])
def test_a_stop_ends_it_cleanly_and_the_same_command_goes_on(held, monkeypatch, at_once, number):
    """Lost otherwise: a run shown as running for ever, a worker that nobody stops, work done again."""
    platform, asked, answers = held
    mark = f"BACKFILL_TEST={os.getpid()}-{at_once}"
    monkeypatch.setenv(*mark.split("="))
    process = command(platform, "--at-once", str(at_once))
    until(process, "1 of 2 runs: raw of alpha")
    assert asked.wait(60)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "stopped: 1 of 2 runs are done; the same command goes on" in said
    assert "Traceback" not in said
    statuses = {run.tags["dagster/partition"]: run.status.value for run in runs(platform)}
    assert statuses == {"alpha": "SUCCESS", "beta": "FAILURE"}
    assert alive(mark.encode()) == []
    answers.set()
    report, told = start(platform, stages=["raw"])
    assert report.failed == () and (report.done_before, told[0]) == (1, (1, 2, 1))
    assert {o.partition for o in report.outcomes} == {"beta"}


def test_a_killed_backfill_leaves_no_run_under_way_and_a_second_one_beside_it_is_refused(held):
    """Lost otherwise: two backfills in each other's way, or a dead one that looks alive."""
    platform, asked, answers = held
    process = command(platform)
    assert asked.wait(60)
    with pytest.raises(StoreError, match=rf"already \(process {process.pid}\); nothing was started"):
        start(platform, stages=["raw"])
    process.kill()
    process.communicate(timeout=60)
    assert "STARTED" in {run.status.value for run in runs(platform)}
    answers.set()
    report, _ = start(platform, stages=["raw"])
    assert report.failed == () and report.done_before == 1
    assert sorted(run.status.value for run in runs(platform)) == ["FAILURE", "SUCCESS", "SUCCESS"]
