"""Two interfaces: a model that looks at pictures, and a tagger that gives a batch of samples their tags."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import polars as pl

#: From a file's bytes to upright RGB pixels ``(height, width, 3)``; raises for what cannot be decoded.
Decode = Callable[[bytes], npt.NDArray[np.uint8]]


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture as stored."""

    image_id: str
    data: bytes


@dataclass(frozen=True, slots=True)
class PictureTags:
    """What a model sees in one picture: tags with their logits, in the order of the model's list."""

    image_id: str
    tags: tuple[str, ...]
    logits: tuple[float, ...]


class PictureTagger(Protocol):
    """A model that gives logits; what follows from them is decided later."""

    def tag(self, pictures: Iterable[Picture]) -> Iterator[PictureTags]:
        """Tags of each picture, in order. Reads ahead of what it has answered."""
        ...


class Tagger(Protocol):
    """Gives samples their tags, a batch at a time."""

    @property
    def label(self) -> str:
        """Name and version, as the table states them."""
        ...

    @property
    def hash(self) -> str:
        """Hash of everything that decides which tags a sample gets."""
        ...

    def tags(self, samples: pl.DataFrame) -> pl.DataFrame:
        """Distinct tags of each sample.

        Args:
            samples: ``row``, and ``turns``, ``media`` and ``annotations`` as in ``unified``.

        Returns:
            ``row``, ``tag``, ``source`` (what the tag was read from) and ``logit`` (float32; null where the
            tagger gives none), in any order.
        """
        ...


#: Options of a tagger as JSON values, for a worker to open it with.
Options = dict[str, Any]
