"""Duplicates across sources, as Dagster runs them: nobody blocks anybody, and everyone ends in line."""

from __future__ import annotations

import json

import dagster as dg
import yaml

from infinity_assets.definitions import platform_defs
from infinity_assets.lineage.columns import EVERY
from infinity_assets.orchestration.run import run_pipeline
from infinity_assets.platform import Platform
from infinity_assets.settings import Settings
from infinity_assets.stages.deduped.schema import DEDUPED
from infinity_assets.stages.duplicate_ledger.schema import DUPLICATE_LEDGER
from infinity_assets.stages.duplicate_ledger.stage import moved
from infinity_assets.stages.filtered.inputs import behind
from infinity_assets.stages.filtered.policy import DEFAULT
from infinity_assets.stages.filtered.schema import FILTERED
from infinity_assets.stages.tag_associations.schema import WHOLE
from infinity_assets_tests.orchestration.small import add_source, small_platform


def kept(platform, table, source):
    return platform.store.require(table, source).read(["sample_id"], "verdict = 'keep'").num_rows


def pipeline(platform, names=None):
    report = run_pipeline(platform, names or list(platform.catalogue), lambda event: None)
    assert report.ok, report.failed
    assert moved(platform) is None
    assert [name for name in platform.catalogue if behind(platform, name)] == []


def test_a_winner_with_a_noncommercial_licence_gives_way_to_its_twin_in_the_whole_pipeline(tmp_path):
    """Lost otherwise: a sample that may be used, for a copy that may not."""
    catalogue = tmp_path / "catalogue"
    catalogue.mkdir()
    add_source(catalogue, "restricted", ["red", "blue"], priority=1, licence={"id": "CC-BY-NC-4.0"})
    add_source(catalogue, "open", ["red", "green"], priority=2)
    settings = Settings(home=tmp_path / "home", catalogue=catalogue)
    pipeline(Platform(settings))
    assert kept(Platform(settings), DEDUPED, "open") == 1
    policy = yaml.safe_load(DEFAULT.read_text())
    policy["licences"]["noncommercial"] = "drop"
    (tmp_path / "policy.yaml").write_text(yaml.safe_dump(policy))
    strict = Platform(settings.model_copy(update={"policy": tmp_path / "policy.yaml"}))
    pipeline(strict, ["restricted"])
    assert kept(strict, FILTERED, "open") == 2
    assert kept(strict, FILTERED, "restricted") == 0


def test_a_winner_that_the_filters_drop_gives_way_to_a_sample_without_its_defect(tmp_path):
    """A conversation with an empty turn must not take a good question along that it contains."""
    catalogue = tmp_path / "catalogue"
    catalogue.mkdir()
    add_source(catalogue, "long", ["red"], priority=1)
    rows = catalogue / "files" / "long" / "rows.json"
    content = json.loads(rows.read_text())
    content[0]["conversations"] += [{"from": "human", "value": "And then?"}, {"from": "gpt", "value": ""}]
    rows.write_text(json.dumps(content))
    add_source(catalogue, "short", ["red"], priority=2)
    platform = Platform(Settings(home=tmp_path / "home", catalogue=catalogue))
    pipeline(platform)
    assert kept(platform, FILTERED, "long") == 0
    assert kept(platform, FILTERED, "short") == 1
    (row,) = platform.store.require(DEDUPED, "short").read().to_pylist()
    assert "empty_turn" in row["detail"]


def test_a_source_that_leaves_gives_back_what_it_shadowed(tmp_path):
    platform = small_platform(tmp_path)
    (platform.settings.catalogue / "broken.yaml").unlink()
    platform = Platform(platform.settings)
    pipeline(platform)
    assert kept(platform, DEDUPED, "beta") == 1
    (platform.settings.catalogue / "alpha.yaml").unlink()
    platform = Platform(platform.settings)
    assert moved(platform) is not None, "the sensor asks for the ledger"
    pipeline(platform, ["beta"])
    assert kept(platform, DEDUPED, "beta") == 2


def test_a_source_that_failed_at_first_leaves_no_trace_once_it_is_mended(tmp_path):
    """Else two labs with the same files would train on different mixes, for a disk was away one day."""
    ends = []
    for name in ("straight", "mended"):
        catalogue = tmp_path / name / "catalogue"
        catalogue.mkdir(parents=True)
        add_source(catalogue, "first", ["red", "green", "blue"], priority=50, stages=["2a", "4"])
        add_source(catalogue, "late", ["green", "yellow"], priority=10, stages=["2a", "4"])
        platform = Platform(Settings(home=tmp_path / name / "home", catalogue=catalogue, contracts="arrow"))
        if name == "mended":
            (catalogue / "files" / "late").rename(catalogue / "away")
            assert not run_pipeline(platform, list(platform.catalogue), lambda event: None).ok
            (catalogue / "away").rename(catalogue / "files" / "late")
            pipeline(platform, ["late"])
        else:
            pipeline(platform)
        tables = [(spec, partition) for spec in EVERY for partition in platform.store.partitions(spec)]
        ends.append({(t.name, part): platform.store.require(t, part).data_version for t, part in tables})
    straight, mended = ends
    assert ("mixed", "4") in straight and ("tag_associations", WHOLE) in straight
    assert mended == straight


def test_in_a_backfill_one_failed_source_blocks_no_other(tmp_path):
    """Each partition is a run of its own, as Dagster's daemon launches a backfill's."""
    platform = small_platform(tmp_path)
    definitions = platform_defs(platform)
    job = definitions.resolve_job_def("source_pipeline")
    with dg.DagsterInstance.ephemeral() as instance:
        tags = {"dagster/backfill": "one"}
        ended = {
            name: job.execute_in_process(
                partition_key=name, instance=instance, tags=tags, raise_on_error=False
            ).success
            for name in ("broken", "beta", "alpha")
        }
        assert ended == {"broken": False, "beta": True, "alpha": True}
        for asset in ("duplicate_ledger", "filtered"):
            found = instance.get_materialized_partitions(dg.AssetKey(asset))
            assert found == {"alpha", "beta"}, asset
        sensor = definitions.resolve_sensor_def("converge")
        context = dg.build_sensor_context(instance=instance, definitions=definitions)
        (request,) = sensor.evaluate_tick(context).run_requests
        assert (request.job_name, request.partition_key) == ("decide", "beta")
        decide = definitions.resolve_job_def("decide")
        assert decide.execute_in_process(partition_key="beta", instance=instance).success
        assert kept(platform, DEDUPED, "beta") == 1
        assert platform.store.published(DUPLICATE_LEDGER, "broken") is None


def test_the_sensor_asks_for_the_ledger_where_the_policy_moved(tmp_path):
    """Lost otherwise: a policy that holds for the next source only."""
    platform = small_platform(tmp_path)
    (platform.settings.catalogue / "broken.yaml").unlink()
    platform = Platform(platform.settings)
    pipeline(platform)
    policy = yaml.safe_load(DEFAULT.read_text())
    for kind in ("exact_pair", "near_pair", "shared_turns"):
        policy["duplicates"][kind]["action"] = "record"
    (tmp_path / "policy.yaml").write_text(yaml.safe_dump(policy))
    lenient = Platform(platform.settings.model_copy(update={"policy": tmp_path / "policy.yaml"}))
    definitions = platform_defs(lenient)
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_sensor_context(instance=instance, definitions=definitions)
        (request,) = definitions.resolve_sensor_def("converge").evaluate_tick(context).run_requests
    assert request.job_name == "converge" and request.run_key.startswith("ledger/")
