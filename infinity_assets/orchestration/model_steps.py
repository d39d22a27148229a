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
    container: dict[str, Any] = {"resources": {"limits": {"nvidia.com/gpu": str(settings.tagger_workers)}}}
    if settings.tagger_image is not None:
        container["image"] = settings.tagger_image
    return ModelStep({"dagster-k8s/config": {"container_config": container}}, GPU_POOL)
