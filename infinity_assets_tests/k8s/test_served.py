"""Without these, a GPU is held by a run that waits, or a key stands where everyone may read it."""

from __future__ import annotations

import uuid

import dagster as dg
import kubernetes.client
import pytest

from infinity_assets.stages.scored.schema import SCORED
from infinity_assets_tests.conftest import Site, jsonl, picture, talk
from infinity_assets_tests.k8s.conftest import Here
from infinity_assets_tests.k8s.deployed import deployed
from infinity_assets_tests.models.vlm.toy_vllm import ToyVllm
from infinity_assets_tests.stages.scored.servers import name_engine
from infinity_assets_tests.stages.synthesized.talking import engines, tagged


def test_scores_are_made_by_a_server_in_the_pod_of_a_shard(
    kubeconfig: Here, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is one GPU: were the run's pod to hold it, no shard would ever get one."""
    vllm, key = ToyVllm(site.folder), f"key-{uuid.uuid4()}"
    site.add("dots", {"0.jsonl": jsonl([talk(1, "0.png"), talk(2, "0.png")]), "0.png": picture(0)})
    name_engine(site, None, engine="own")
    # Who starts the server must be told where it is: the engine, since the image has no vLLM.
    engines(site, own={"engine": "vllm", "key_env": "TOY_KEY", "environment": str(vllm.python)})
    monkeypatch.setenv("TOY_KEY", key)
    tagged(site.platform(), "dots")
    core = kubernetes.client.CoreV1Api(kubeconfig.cluster._connection)
    secret = f"infinity-test-{uuid.uuid4()}"
    core.create_namespaced_secret(
        kubeconfig.namespace, {"metadata": {"name": secret}, "stringData": {"TOY_KEY": key}}
    )
    try:
        with deployed(kubeconfig, site, {}, [secret]) as deployment:
            run_id = deployment.launch("score", "dots")
            assert deployment.ended(run_id).status is dg.DagsterRunStatus.SUCCESS, deployment.words()
            run, (job,) = kubeconfig.cluster.job(f"dagster-run-{run_id}"), deployment.jobs(run_id)
            told = deployment.metadata("scored", "dots")
    finally:
        core.delete_namespaced_secret(secret, kubeconfig.namespace)
    assert "nvidia.com/gpu" not in str(run) and key not in f"{run}{job}"
    (container,) = job["spec"]["template"]["spec"]["containers"]
    gpu = {"nvidia.com/gpu": "1"}
    assert container["resources"] == {"requests": gpu, "limits": gpu}
    assert job["spec"]["completions"] == 1 and job["metadata"]["name"] in told["kubernetes_jobs"].value
    assert vllm.lines("started") == ["0"] and set(vllm.lines("asked")) == {"0"}, "in the pod of shard 0"
    assert told["requests"].value == len(vllm.lines("asked")) and told["cost_of_this_run"].value > 0
    rows = site.platform().store.require(SCORED, "dots").read(["loss"]).column("loss").to_pylist()
    assert len(rows) == 2 and None not in rows
