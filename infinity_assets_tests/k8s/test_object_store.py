"""Pods have no folder in common: what they read and stage lies in an object store."""

from __future__ import annotations

from pathlib import Path

from infinity_assets.settings import WorkerJobs
from infinity_assets.sharding.pool import run_elsewhere
from infinity_assets_tests.conftest import (
    Site,
    bucket_environment,
    ingest,
    jsonl,
    picture,
    samples,
    talk,
    upload,
)
from infinity_assets_tests.k8s.conftest import ROOT, Here
from infinity_assets_tests.k8s.double.api import Double
from infinity_assets_tests.k8s.test_runner import Bench


def test_pods_read_a_source_from_a_bucket_and_stage_their_shards_there(
    object_store: str, bucket: str, site: Site, in_process: list[str], tmp_path: Path, monkeypatch
) -> None:
    """On a double wherever the other tests run: a real cluster's pods do not reach this machine's servers."""
    rows = [talk(i, f"{i}.png") for i in range(6)]
    upload({"set/a.jsonl": jsonl(rows), **{f"set/{i}.png": picture(i) for i in range(5)}})
    site.add("src", {}, location=f"{bucket}/set")
    _, here = ingest(site.platform(f"{bucket}/here"), "src")
    monkeypatch.undo()  # no more in this process
    for name, value in bucket_environment(object_store).items():
        monkeypatch.setenv(name, value)

    secret = {"PYTHONPATH": str(ROOT), **bucket_environment(object_store)}
    with Double(tmp_path / "cluster") as double:
        bench = Bench(Here(double.kubeconfig(), "default", "infinity-assets:test", (), double), tmp_path)
        options = WorkerJobs(poll_s=0.1, cpu="100m", memory="600Mi")
        jobs = bench.jobs(options=options, env=[{"name": n, "value": v} for n, v in secret.items()])
        with run_elsewhere(jobs):
            _, there = ingest(site.platform(f"{bucket}/there"), "src")
    assert jobs.jobs, "no shard was given to the cluster"
    assert there.published.data_version == here.published.data_version
    assert {row["native_id"]: row["reason"] for row in samples(there)}["5"] == "missing_image"
