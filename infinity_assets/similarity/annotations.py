"""Near annotations: the same boxes and labels of two pictures that are one, whatever their ids and order.

Boxes count as shares of their picture, so that a copy in another size has the same. Two lists are near where
they mark equally many things of each label and each box has a partner whose sides lie within
:data:`TOLERANCE` of its own. A list that marks nothing is near no other. Our choices.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

#: How far a side of a box may lie from the other's, as a share of the picture: a border of a fortieth that
#: was cut off moves it by as much.
TOLERANCE: Final = 0.025

#: Kinds whose meaning is a label, a text or a box; of the others more than that counts.
KINDS: Final = frozenset({"box", "caption", "label"})

#: Raised when the same annotations give another answer.
ANNOTATIONS_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Marks:
    """What a list of annotations says."""

    said: Counter[tuple[str, str, str, int, bool]]  #: kind, label, text, picture, and whether there is a box
    boxes: Mapping[tuple[str, str, str, int, bool], npt.NDArray[np.float64]]
    """``(boxes, 4)`` each: x0, y0, x1, y1 as shares of the picture."""


def marks_of(annotations: Sequence[Mapping[str, Any]], sizes: Sequence[tuple[int, int]]) -> Marks | None:
    """What the annotations of a sample say; None where nothing, or something that is not compared.

    Args:
        annotations: with ``kind``, ``label``, ``text``, ``box`` (pixels of the picture or None), ``image``.
        sizes: width and height of each picture.
    """
    said: Counter[tuple[str, str, str, int, bool]] = Counter()
    boxes: dict[tuple[str, str, str, int, bool], list[list[float]]] = {}
    for one in annotations:
        image, box = one["image"] or 0, one["box"]
        if one["kind"] not in KINDS or image >= len(sizes) or min(sizes[image]) <= 0:
            return None
        key = (one["kind"], _folded(one["label"]), _folded(one["text"]), image, box is not None)
        said[key] += 1
        if box is not None:
            width, height = sizes[image]
            boxes.setdefault(key, []).append(
                [box[0] / width, box[1] / height, box[2] / width, box[3] / height]
            )
    return Marks(said, {key: np.array(found) for key, found in boxes.items()}) if said else None


def shift(one: Marks, other: Marks) -> float | None:
    """How far a box lies from its partner at most, as a share of the picture; None if they are not near."""
    if one.said != other.said:
        return None
    most = 0.0
    for key, boxes in one.boxes.items():
        apart = np.abs(boxes[:, None] - other.boxes[key][None]).max(axis=2)
        for _ in range(len(boxes)):
            i, j = np.unravel_index(np.argmin(apart), apart.shape)  # the nearest two that are still free
            if not apart[i, j] <= TOLERANCE:
                return None
            most = max(most, float(apart[i, j]))
            apart[i], apart[:, j] = np.inf, np.inf
    return most


def _folded(text: str | None) -> str:
    return " ".join(unicodedata.normalize("NFKC", text or "").casefold().split())
