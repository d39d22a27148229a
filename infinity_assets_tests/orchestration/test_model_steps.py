"""Without these, a step that needs a GPU is put where there is none, or one that needs none waits for it."""

from __future__ import annotations

import json

import dagster as dg

from infinity_assets.definitions import platform_defs
from infinity_assets.platform import Platform
from infinity_assets.settings import Settings
from infinity_assets_tests.conftest import jsonl, talk
from infinity_assets_tests.k8s.launching import H100
from infinity_assets_tests.stages.synthesized.talking import engines, policy


def op_of(site, asset, **settings):
    site.add("s", {"rows.jsonl": jsonl([talk(1)])})
    base = site.platform().settings.model_dump(exclude={"ram_plus"})
    graph = platform_defs(Platform(Settings(**(base | settings)))).get_repository_def()
    return graph.assets_defs_by_key[dg.AssetKey(asset)].op


def tagged_op(site, **settings):
    return op_of(site, "tagged", **settings)


def test_looking_at_pictures_asks_the_cluster_for_a_gpu(site):
    """One for each pod: two workers are two pods of its Job, not one that holds two GPUs."""
    op = tagged_op(site, tagger="ram_plus", tagger_workers=2, tagger_image="example/ram:1")
    container = json.loads(op.tags["dagster-k8s/config"])["container_config"]
    gpus = {"nvidia.com/gpu": "1"}
    assert container == {"resources": {"limits": gpus, "requests": gpus}, "image": "example/ram:1"}
    assert op.pool == "gpu"


def test_reading_captions_asks_for_none(site):
    op = tagged_op(site)
    assert "dagster-k8s/config" not in op.tags and op.pool is None


def test_labelling_by_a_model_asks_for_what_its_engine_needs(site):
    """Lost otherwise: a GPU that waits for an API, or a server that starts where there is none."""
    engines(site, own={"engine": "vllm"}, elsewhere={"url": "https://api.example/v1"})
    assert tagged_op(site, labeller="vlm", tagging_engine="own").pool == "gpu"
    assert tagged_op(site, tagger="vlm", tagging_engine="elsewhere").pool == "api"


def test_writing_by_an_own_server_asks_for_a_gpu_and_by_one_elsewhere_for_a_place_in_the_pool(site):
    """Lost otherwise: a GPU that waits for an API, or ten steps that share one provider's rate."""
    assert op_of(site, "synthesis_qa").pool is None, "rules need neither"
    engines(site, own={"engine": "vllm"}, elsewhere={"url": "https://api.example/v1"})
    policy(site, engine="elsewhere")
    op = op_of(site, "synthesis_qa")
    assert op.pool == "api" and "dagster-k8s/config" not in op.tags
    policy(site, engine="elsewhere", scorer="own")
    op = op_of(site, "synthesized", vllm_gpus=4, vllm_image="example/vllm:1")
    container = json.loads(op.tags["dagster-k8s/config"])["container_config"]
    gpus = {"nvidia.com/gpu": "4"}
    assert container["resources"] == {"limits": gpus, "requests": gpus}
    assert container["image"] == "example/vllm:1"
    assert op.pool == "gpu"
    op = op_of(site, "synthesized", vllm_gpus=0)
    assert "resources" not in json.loads(op.tags["dagster-k8s/config"])["container_config"]


def test_a_pod_with_a_server_gets_whole_gpus_its_nodes_and_shared_memory(site):
    """Lost otherwise: a server that a cluster refuses, or that dies of 64 MiB of shared memory."""
    engines(site, own={"engine": "vllm"})
    policy(site, engine="own")
    named = {"vllm_gpu_class": "h100", "gpu_classes": {"h100": H100}}
    op = op_of(site, "synthesized", vllm_gpus=2, vllm_image="example/vllm:1", **named)
    config = json.loads(op.tags["dagster-k8s/config"])
    container, pod = config["container_config"], config["pod_spec_config"]
    amounts = {"nvidia.com/gpu": "2", "cpu": "8", "memory": "64Gi"}
    assert container["resources"] == {"limits": amounts, "requests": amounts}
    assert pod["node_selector"] == H100["node_selector"]
    assert pod["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    assert pod["priority_class_name"] == "infinity-gpu-spot"
    (shared,) = pod["volumes"]
    assert shared["empty_dir"] == {"medium": "Memory", "size_limit": "8Gi"}
    assert container["volume_mounts"] == [{"name": shared["name"], "mount_path": "/dev/shm"}]
    assert op.pool == "gpu_h100"


def test_a_server_that_labels_what_ram_plus_looked_at_has_pods_of_its_own_image(site):
    """Lost otherwise: a server that starts in a pod without vLLM."""
    engines(site, own={"engine": "vllm"})
    op = tagged_op(
        site,
        tagger="ram_plus",
        tagger_image="example/ram:1",
        vllm_image="example/vllm:1",
        labeller="vlm",
        tagging_engine="own",
    )
    assert json.loads(op.tags["dagster-k8s/config"])["container_config"]["image"] == "example/vllm:1"
