"""What a step that runs a model asks of the cluster: pods with a GPU and its libraries, and a pool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from infinity_assets.platform import Platform
from infinity_assets.settings import GpuClass

#: Pool of steps that hold a GPU; its limit is how many may run at once (``dagster.yaml`` or the UI). Those
#: of a named class have a pool of their own, ``gpu_<class>``.
GPU_POOL: Final = "gpu"

#: What dagster-k8s reads, from the tags of a step or of a run.
K8S_CONFIG: Final = "dagster-k8s/config"

#: On the Job and the pod of a run, beside dagster-k8s's own ``dagster/job`` and ``dagster/run-id``.
SOURCE_LABEL: Final = "infinity-assets/source"
STAGE_LABEL: Final = "infinity-assets/stage"  #: on the Jobs of a step's shards

_SHM: Final = "shared-memory"

#: Pool of steps that ask a server elsewhere; its limit keeps several from sharing one provider's rate.
API_POOL: Final = "api"


@dataclass(frozen=True, slots=True)
class ModelStep:
    """Tags and pool of the step."""

    op_tags: Mapping[str, Any]
    pool: str
    pods: int = 0  #: of its shards at once, which the tag describes; 0: it has none of its own


def tagging_step(platform: Platform) -> ModelStep | None:
    """What ``tagged`` asks for: None by rules, GPUs or a place in a pool where a model looks or reads.

    The tag is dagster-k8s's own, and describes each pod of the step's Indexed Job
    (:mod:`infinity_assets.orchestration.shard_jobs`). Where RAM++ looks and a vLLM server of its own labels,
    both have the server's pods: its image has the libraries of both.
    """
    settings = platform.settings
    engine = settings.asked_for_tags
    asking = _asking(platform, [engine]) if engine else None
    if settings.tagger != "ram_plus" or (asking is not None and asking.pods):
        return asking
    image, name = settings.tagger_image, settings.tagger_gpu_class
    return _on_gpus(1, image, name, settings.gpu_classes, settings.tagger_workers)


def scoring_step(platform: Platform) -> ModelStep | None:
    """What ``scored`` asks for, by the engine that ``scoring.yaml`` names; None where it names none."""
    name = platform.scoring.engine
    return None if name is None else _asking(platform, [name])


def synthesis_step(platform: Platform) -> ModelStep | None:
    """What synthesis asks for, by the engines that ``synthesis.yaml`` names; None by rules."""
    return _asking(platform, platform.synthesis.engines)


def asking_models(platform: Platform) -> frozenset[str]:
    """Stages whose runs go alone: each would start a server of its own, or share a provider's rate."""
    steps = {
        "tagged": tagging_step(platform),
        "synthesized": synthesis_step(platform),
        "scored": scoring_step(platform),
    }
    return frozenset(stage for stage, step in steps.items() if step is not None)


def _asking(platform: Platform, names: Sequence[str]) -> ModelStep | None:
    """GPUs where some engine is a server of the step's own, else the pool of those that ask elsewhere."""
    settings, kinds = platform.settings, {platform.engine(name).engine for name in names}
    if "vllm" in kinds:
        count, image, name = settings.vllm_gpus, settings.vllm_image, settings.vllm_gpu_class
        return _on_gpus(count, image, name, settings.gpu_classes, settings.vllm_workers, own_server=True)
    return ModelStep({}, API_POOL) if "openai" in kinds else None


def _on_gpus(
    count: int,
    image: str | None,
    class_name: str | None,
    classes: Mapping[str, GpuClass],
    pods: int,
    *,
    own_server: bool = False,
) -> ModelStep:
    """Whole GPUs for each pod, request equal to limit: a server refuses anything else."""
    container: dict[str, Any] = {}
    pod: dict[str, Any] = {}
    gpu_class = classes[class_name] if class_name else GpuClass()
    amounts = {"nvidia.com/gpu": str(count)} if count else {}
    amounts |= {k: v for k, v in (("cpu", gpu_class.cpu), ("memory", gpu_class.memory)) if v is not None}
    if amounts:
        container["resources"] = {"requests": dict(amounts), "limits": dict(amounts)}
    if image is not None:
        container["image"] = image
    if count and gpu_class.node_selector:
        pod["node_selector"] = dict(gpu_class.node_selector)
    if count and gpu_class.tolerations:
        pod["tolerations"] = [t.model_dump(exclude_none=True) for t in gpu_class.tolerations]
    if gpu_class.priority_class is not None:
        pod["priority_class_name"] = gpu_class.priority_class
    if own_server:  # its processes hand tensors to each other there, and a container has 64 MiB by default
        volume = {"medium": "Memory", "size_limit": gpu_class.shared_memory}
        pod["volumes"] = [{"name": _SHM, "empty_dir": volume}]
        container["volume_mounts"] = [{"name": _SHM, "mount_path": "/dev/shm"}]
    config = {"container_config": container} | ({"pod_spec_config": pod} if pod else {})
    pool = f"{GPU_POOL}_{class_name}" if class_name else GPU_POOL
    return ModelStep({K8S_CONFIG: config}, pool, pods)


def run_config(source: str) -> dict[str, Any]:
    """What the Job of a run says, as dagster-k8s reads it from the tags of the run: whose it is.

    It asks for no GPU: its steps run in one pod, and hand what needs one to pods of their own.
    """
    labels = {SOURCE_LABEL: label(source)}
    return {"job_metadata": {"labels": labels}, "pod_template_spec_metadata": {"labels": dict(labels)}}


def label(name: str) -> str:
    """A label value: letters or digits at both ends, 63 characters at most. For people to select by."""
    return name[:63].strip("_")
