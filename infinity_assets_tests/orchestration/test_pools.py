"""Without these, two runs share the one GPU that a pool was to give to one of them."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteRepositoryOrigin
from dagster._core.run_coordinator import QueuedRunCoordinator
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon

from infinity_assets.automation.pools import pools_known
from infinity_assets.definitions import platform_defs
from infinity_assets.orchestration.instance import open_instance
from infinity_assets.platform import Platform
from infinity_assets.settings import Settings
from infinity_assets_tests.conftest import Site, jsonl, talk


@dg.op(pool="gpu")
def work() -> None: ...


@dg.job
def on_gpu() -> None:
    work()


def let_through(instance: dg.DagsterInstance) -> list[int]:
    """Of three queued runs that need the pool, how many the daemon would start at its first two looks."""
    there = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("tests"), "r").get_job_origin("on_gpu")
    for _ in range(3):
        instance.create_run_for_job(on_gpu, remote_job_origin=there, status=dg.DagsterRunStatus.QUEUED)
    daemon = QueuedRunCoordinatorDaemon(interval_seconds=1)
    assert isinstance(instance.run_coordinator, QueuedRunCoordinator)
    config = instance.get_concurrency_config()
    return [len(daemon._get_runs_to_dequeue(instance, config, None)) for _ in range(2)]


def test_a_pool_of_one_lets_one_run_through_from_the_first_on(tmp_path: Path) -> None:
    with open_instance(tmp_path) as instance:
        context = dg.build_sensor_context(instance=instance)
        assert "gpu" in str(pools_known(["gpu"])(context))
        assert let_through(instance) == [1, 1]
        assert "known" in str(pools_known(["gpu"])(context))


def test_dagster_overlooks_a_pool_at_its_first_run(tmp_path: Path) -> None:
    """Why there is a sensor at all; where this fails, it can go."""
    with open_instance(tmp_path) as instance:
        assert let_through(instance) == [2, 1], "as many as may run at once, then one"


def test_a_limit_that_a_person_set_stays(tmp_path: Path) -> None:
    with open_instance(tmp_path) as instance:
        instance.event_log_storage.set_concurrency_slots("gpu", 2)
        pools_known(["gpu"])(dg.build_sensor_context(instance=instance))
        assert let_through(instance) == [2, 2]


@pytest.mark.parametrize(("tagger", "sensors"), [("captions", 0), ("ram_plus", 1)])
def test_only_a_deployment_with_models_has_the_sensor(site: Site, tagger: str, sensors: int) -> None:
    site.add("s", {"rows.jsonl": jsonl([talk(1)])})
    given = site.platform().settings.model_dump(exclude={"ram_plus"}) | {"tagger": tagger}
    found = platform_defs(Platform(Settings(**given))).sensors or ()
    assert sum(sensor.name == "pools_known" for sensor in found) == sensors
