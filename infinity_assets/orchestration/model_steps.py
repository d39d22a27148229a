"""What a step that runs a model asks of the cluster: a GPU, an image with its libraries, and a pool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from infinity_assets.platform import Platform

#: Pool of steps that hold a GPU; its limit is how many may run at once (``dagster.yaml`` or the UI).
GPU_POOL: Final = "gpu"


#: Pool of steps that ask a server elsewhere; its limit keeps several from sharing one provider's rate.
API_POOL: Final = "api"


@dataclass(frozen=True, slots=True)
class ModelStep:
    """Tags and pool of the step."""

    op_tags: Mapping[str, Any]
    pool: str


def tagging_step(platform: Platform) -> ModelStep | None:
    """What ``tagged`` asks for: None by rules, GPUs or a place in a pool where a model looks or reads.

    The tag is dagster-k8s's own: its executors render it into the Job of the step.
    """
    settings = platform.settings
    if settings.tagger == "ram_plus":
        return _on_gpus(settings.tagger_workers, settings.tagger_image)
    engine = settings.tagging_engine
    return _asking(platform, [engine]) if engine and "vlm" in (settings.tagger, settings.labeller) else None


def scoring_step(platform: Platform) -> ModelStep | None:
    """What ``scored`` asks for, by the engine that ``scoring.yaml`` names; None where it names none."""
    name = platform.scoring.engine
    return None if name is None else _asking(platform, [name])


def synthesis_step(platform: Platform) -> ModelStep | None:
    """What synthesis asks for, by the engines that ``synthesis.yaml`` names; None by rules."""
    return _asking(platform, platform.synthesis.engines)


def _asking(platform: Platform, names: Sequence[str]) -> ModelStep | None:
    """GPUs where some engine is a server of the step's own, else the pool of those that ask elsewhere."""
    settings, kinds = platform.settings, {platform.engine(name).engine for name in names}
    if "vllm" in kinds:
        return _on_gpus(settings.vllm_gpus, settings.vllm_image)
    return ModelStep({}, API_POOL) if "openai" in kinds else None


def _on_gpus(count: int, image: str | None) -> ModelStep:
    container: dict[str, Any] = {}
    if count:
        container["resources"] = {"limits": {"nvidia.com/gpu": str(count)}}
    if image is not None:
        container["image"] = image
    return ModelStep({"dagster-k8s/config": {"container_config": container}}, GPU_POOL)
