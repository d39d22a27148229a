"""The tags of the network, in its order, and above which probability each counts: files of the user."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from infinity_assets.models.ram_plus.checkpoint import WeightsError

#: Probability above which a tag counts where no file says otherwise (RAM++'s for an open set).
FLAT_THRESHOLD = 0.5


@dataclass(frozen=True, slots=True)
class TagList:
    """Tags with a threshold each, in the order of the network's logits."""

    tags: tuple[str, ...]
    thresholds: tuple[float, ...]  #: probabilities; 1 means never

    @property
    def cuts(self) -> Mapping[str, float]:
        """For each tag the logit that it has to exceed; infinite where the threshold is 1."""
        return {tag: _logit(value) for tag, value in zip(self.tags, self.thresholds, strict=True)}


def load_tags(tags: Path, thresholds: Path | None) -> TagList:
    """Read a list, one tag a line, and its thresholds, one number a line in the same order.

    Raises:
        WeightsError: names the file and the line.
    """
    names = _lines(tags)
    seen: dict[str, int] = {}
    for number, name in enumerate(names, start=1):
        if not name:
            raise WeightsError(f"{tags}:{number}: empty; write one tag on each line")
        if name in seen:
            raise WeightsError(f"{tags}:{number}: {name!r} stands in line {seen[name]} already; keep one")
        seen[name] = number
    if not names:
        raise WeightsError(f"{tags}: holds no tag; write one on each line")
    if thresholds is None:
        return TagList(tuple(names), (FLAT_THRESHOLD,) * len(names))
    values = []
    for number, line in enumerate(_lines(thresholds), start=1):
        try:
            value = float(line)
        except ValueError:
            value = math.nan
        if not 0 <= value <= 1:
            raise WeightsError(f"{thresholds}:{number}: {line[:40]!r} is no probability from 0 to 1")
        values.append(value)
    if len(values) != len(names):
        raise WeightsError(f"{thresholds}: {len(values)} thresholds for the {len(names)} tags of {tags}")
    return TagList(tuple(names), tuple(values))


def _lines(path: Path) -> list[str]:
    try:
        return [line.strip() for line in path.read_text("utf-8-sig").splitlines()]
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror}; name an existing file") from error
    except UnicodeDecodeError as error:
        raise WeightsError(f"{path}: not UTF-8 at byte {error.start}; save the list as UTF-8") from error


def _logit(probability: float) -> float:
    if probability in (0.0, 1.0):
        return math.inf if probability else -math.inf
    return math.log(probability / (1 - probability))
