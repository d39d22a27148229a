"""What a step that runs a model asks of the cluster: a GPU, an image with its libraries, and a pool."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from infinity_assets.platform import Platform

#: Pool of steps that hold a GPU; its limit is how many may run at once (``dagster.yaml`` or the UI).
GPU_POOL: Final = "gpu"


@dataclass(frozen=True, slots=True)
class ModelStep:
    """Tags and pool of the step."""

    op_tags: Mapping[str, Any]
    pool: str


def tagging_step(platform: Platform) -> ModelStep | None:
    """What ``tagged`` asks for: None where captions are read, a GPU where pictures are looked at.

    The tag is dagster-k8s's own: its executors render it into the Job of the step.
    """
    settings = platform.settings
    if settings.tagger == "captions":
        return None
    return _on_gpus(settings.tagger_workers, settings.tagger_image)


def scoring_step(platform: Platform) -> ModelStep | None:
    """What ``scored`` asks for: a GPU where the engine is a server of its own, else None."""
    name = platform.scoring.engine
    if name is None or platform.engine(name).engine != "vllm":
        return None
    return _on_gpus(1, platform.settings.tagger_image)


def _on_gpus(count: int, image: str | None) -> ModelStep:
    container: dict[str, Any] = {"resources": {"limits": {"nvidia.com/gpu": str(count)}}}
    if image is not None:
        container["image"] = image
    return ModelStep({"dagster-k8s/config": {"container_config": container}}, GPU_POOL)
