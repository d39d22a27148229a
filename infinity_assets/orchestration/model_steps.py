"""What a step that runs a model asks of the cluster: a GPU, an image with its libraries, and a pool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
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
    gpus: int = 0
    own_server: bool = False  #: whether it starts a vLLM server
    sharded: bool = False  #: whether its GPUs are those of the pods of its shards, not of the run's pod


def tagging_step(platform: Platform) -> ModelStep | None:
    """What ``tagged`` asks for: None by rules, GPUs or a place in a pool where a model looks or reads.

    The tag is dagster-k8s's own. Where a step's work is sharded it describes each pod of its Indexed Job
    (:mod:`infinity_assets.orchestration.shard_jobs`); else the pod of the run, as :func:`run_config` says.
    """
    settings = platform.settings
    if settings.tagger == "ram_plus":
        step = _on_gpus(1, settings.tagger_image, settings.tagger_gpu_class, settings.gpu_classes)
        return replace(step, sharded=True)
    engine = settings.tagging_engine
    return _asking(platform, [engine]) if engine and "vlm" in (settings.tagger, settings.labeller) else None


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
        return _on_gpus(
            settings.vllm_gpus,
            settings.vllm_image,
            settings.vllm_gpu_class,
            settings.gpu_classes,
            own_server=True,
        )
    return ModelStep({}, API_POOL) if "openai" in kinds else None


def _on_gpus(
    count: int,
    image: str | None,
    class_name: str | None,
    classes: Mapping[str, GpuClass],
    *,
    own_server: bool = False,
) -> ModelStep:
    """Whole GPUs, request equal to limit: a server refuses anything else."""
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
    return ModelStep({K8S_CONFIG: config}, pool, count, own_server)


def run_config(steps: Sequence[ModelStep | None], source: str | None = None) -> dict[str, Any]:
    """What the Job of a run asks for, as dagster-k8s reads it from the tags of the run.

    A run is one pod (its steps run in one process), so it gets what the most demanding step needs that does
    not hand its work to pods of its own: the image and nodes of the step with its own server, and the largest
    number of GPUs.

    Args:
        steps: of the models that the run may ask; None for a step without one.
        source: its partition, for the label ``infinity-assets/source``.
    """
    config: dict[str, Any] = {}
    asking = [step for step in steps if step is not None and not step.sharded]
    demanding = [step for step in asking if K8S_CONFIG in step.op_tags]
    if demanding:
        chosen = max(demanding, key=lambda step: (step.own_server, step.gpus))
        config = deepcopy(chosen.op_tags[K8S_CONFIG])
        gpus = max(step.gpus for step in demanding)
        if gpus:
            resources = config["container_config"].setdefault("resources", {"requests": {}, "limits": {}})
            for amounts in resources.values():
                amounts["nvidia.com/gpu"] = str(gpus)
    if source is not None:
        labels = {SOURCE_LABEL: label(source)}
        config |= {"job_metadata": {"labels": labels}, "pod_template_spec_metadata": {"labels": dict(labels)}}
    return config


def label(name: str) -> str:
    """A label value: letters or digits at both ends, 63 characters at most. For people to select by."""
    return name[:63].strip("_")
