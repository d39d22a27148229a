"""What assets ask Dagster for: the opened platform and whoever listens to progress."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from infinity_assets.orchestration.progress import Listener, nobody
from infinity_assets.platform import Platform

PLATFORM: Final = "platform"
PROGRESS: Final = "progress"


def resources(platform: Platform, listener: Listener = nobody) -> Mapping[str, Any]:
    """Resources for :class:`dagster.Definitions`, by the keys that assets require."""
    return {PLATFORM: platform, PROGRESS: listener}
