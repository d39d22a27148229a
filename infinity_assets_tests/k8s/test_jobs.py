"""Without these, a run on a cluster is refused by the server, or waits for nodes that are not there."""

from __future__ import annotations

import copy

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from infinity_assets.definitions import platform_defs
from infinity_assets.orchestration.model_steps import label
from infinity_assets.platform import Platform
from infinity_assets.settings import GpuClass, Settings, Toleration
from infinity_assets_tests.conftest import jsonl, talk
from infinity_assets_tests.k8s.launching import H100, rendered
from infinity_assets_tests.k8s.server import LABEL, refusals
from infinity_assets_tests.stages.synthesized.talking import engines, policy

NAMES = st.text("abz09_", min_size=1, max_size=48)


def definitions(site, names=("s",), **changed):
    for name in names:
        site.add(name, {"rows.jsonl": jsonl([talk(1)])})
    base = site.platform().settings.model_dump(exclude={"ram_plus"})
    return platform_defs(Platform(Settings(**(base | {"kubernetes": True} | changed))))


@pytest.fixture
def served(site):
    """Synthesis by a vLLM server of its own, pictures by RAM++, both on named GPUs."""
    site.add("s", {"rows.jsonl": jsonl([talk(1)])})
    engines(site, own={"engine": "vllm"})
    policy(site, engine="own")
    return definitions(
        site,
        tagger="ram_plus",
        tagger_image="infinity-assets:ram",
        tagger_gpu_class="l4",
        vllm_gpus=2,
        vllm_image="infinity-assets:vllm",
        vllm_gpu_class="h100",
        gpu_classes={"h100": H100, "l4": {"node_selector": {"example.com/gpu": "l4"}}},
    )


@pytest.mark.parametrize("name", ["ingest", "decide", "synthesize", "score", "source_pipeline"])
def test_a_run_asks_for_no_gpu_and_no_image_of_a_model(served, tmp_path, name):
    """Lost otherwise: a GPU that is held as long as a run takes, most of it for nothing."""
    job = rendered(served, name, "s", tmp_path, {})
    assert refusals(job) == []
    assert "nvidia.com/gpu" not in str(job) and "infinity-assets:vllm" not in str(job)
    assert job["metadata"]["labels"]["infinity-assets/source"] == "s"


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(NAMES, min_size=1, max_size=1, unique=True))
def test_no_name_of_a_source_makes_a_job_that_a_server_refuses(tmp_path_factory, names):
    from infinity_assets.orchestration import jobs
    from infinity_assets.partitions import source_partitions

    described = jobs.on_kubernetes(source_partitions(names))
    (name,) = names
    tags = described["decide"].config.get_tags_for_partition_key(name)
    assert set(tags) >= {"dagster-k8s/config"}
    job = rendered_from(tags, name, tmp_path_factory.mktemp("k"))
    assert refusals(job, ("1.30", "1.37")) == []


def rendered_from(tags, source, folder):
    import dagster as dg

    @dg.op
    def nothing() -> None: ...

    @dg.job(tags=dict(tags))
    def decide() -> None:
        nothing()

    return rendered(dg.Definitions(jobs=[decide]), "decide", None, folder, {})


@given(NAMES)
def test_labels_are_what_a_server_takes(name):
    assert LABEL.fullmatch(label(name)) and label(name).strip("_") == label(name)
    assert LABEL.fullmatch(label("a" * 62 + "_b"))


def test_a_laptop_sees_no_tags_of_a_cluster(site):
    plain = definitions(site, kubernetes=False, tagger="ram_plus")
    assert "dagster-k8s/config" not in plain.resolve_job_def("decide").get_tags_for_partition_key("s", None)


def test_a_class_that_nobody_described_stops_the_start():
    with pytest.raises(ValidationError, match="h200"):
        Settings(vllm_gpu_class="h200", gpu_classes={"h100": GpuClass()})
    with pytest.raises(ValidationError, match="value"):
        Toleration(key="a", operator="Exists", value="b")


GOOD = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": {"name": "a"},
    "spec": {
        "template": {
            "spec": {
                "restartPolicy": "Never",
                "containers": [
                    {
                        "name": "c",
                        "image": "i",
                        "env": [{"name": "A", "value": "1"}],
                        "resources": {"limits": {"nvidia.com/gpu": "1", "memory": "1Gi"}},
                    }
                ],
            }
        }
    },
}
CONTAINER = ("spec", "template", "spec", "containers", 0)
BAD = {
    "env value not a string": ((*CONTAINER, "env", 0, "value"), 1),
    "unknown field": (("spec", "nope"), 1),
    "bad quantity": ((*CONTAINER, "resources", "limits", "memory"), "1 GB"),
    "gpu request differs": ((*CONTAINER, "resources", "requests"), {"nvidia.com/gpu": "2"}),
    "part of a gpu": ((*CONTAINER, "resources", "limits", "nvidia.com/gpu"), "0.5"),
    "gpu without limit": ((*CONTAINER, "resources"), {"requests": {"nvidia.com/gpu": "1"}}),
    "request above limit": ((*CONTAINER, "resources", "requests"), {"memory": "2Gi"}),
    "long label": (("metadata", "labels"), {"a": "b" * 64}),
    "label with a space": (("metadata", "labels"), {"a": "b c"}),
    "upper-case name": (("metadata", "name"), "A"),
    "long name": (("metadata", "name"), "a" * 64),
    "restartPolicy Always": (("spec", "template", "spec", "restartPolicy"), "Always"),
    "no image": ((*CONTAINER, "image"), None),
    "mount without volume": ((*CONTAINER, "volumeMounts"), [{"name": "v", "mountPath": "/v"}]),
    "bad env name": ((*CONTAINER, "env", 0, "name"), "a=b"),
    "negative ttl": (("spec", "ttlSecondsAfterFinished"), -1),
    "negative backoffLimit": (("spec", "backoffLimit"), -1),
    "toleration": (("spec", "template", "spec", "tolerations"), [{"operator": "Exists", "value": "a"}]),
    "two containers of one name": (
        ("spec", "template", "spec", "containers"),
        [{"name": "c", "image": "i"}, {"name": "c", "image": "i"}],
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_a_real_server_refused_is_refused_here(name):
    """Lost otherwise: checks of manifests that let everything pass."""
    assert refusals(GOOD) == []
    path, value = BAD[name]
    document = copy.deepcopy(GOOD)
    at = document
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    assert refusals(document) != []
