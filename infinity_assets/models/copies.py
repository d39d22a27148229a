"""A network that tells copies of a picture, such as SSCD (arXiv 2202.10261): TorchScript that the user has.

Nothing is downloaded. What such a file holds is a program for torch: name one that you trust.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from blake3 import blake3

from infinity_assets.errors import InfinityError
from infinity_assets.store.digests import key_of

#: Side of the square pictures it sees, as the authors' code resizes for batches (``skew_320``).
SIDE: Final = 320

#: Least cosine of the embeddings of two copies: the authors' threshold for a precision of 90 %.
SIMILARITY: Final = 0.75

#: Mean and deviation of ImageNet's pixels by channel, in 0 to 1.
MEAN: Final = (0.485, 0.456, 0.406)
DEVIATION: Final = (0.229, 0.224, 0.225)

#: Pictures that the network sees at once: some 400 MB for a ResNet-50.
BATCH: Final = 16

Embeddings = npt.NDArray[np.float32]


class CopyDetectorError(InfinityError):
    """The copy detector's file is missing, is no TorchScript or gives no embeddings; or torch is missing."""


class CopyDetector:
    """One network, opened when it is first asked. It runs on the CPU, in float32: few pairs get that far."""

    def __init__(self, file: Path) -> None:
        """
        Args:
            file: TorchScript that gives ``(batch, values)`` for ``(batch, 3, 320, 320)`` normalized RGB.

        Raises:
            CopyDetectorError: if there is no such file.
        """
        if not file.is_file():
            raise CopyDetectorError(f"{file}: there is no such file; INFINITY_COPY_DETECTOR names it")
        self.file = file

    @cached_property
    def key(self) -> str:
        """Names all that its answers follow from."""
        with self.file.open("rb") as data:
            hasher = blake3()
            while part := data.read(1 << 22):
                hasher.update(part)
        return key_of("copies", 1, SIDE, SIMILARITY, hasher.hexdigest())

    def embed(self, pictures: Sequence[npt.NDArray[np.uint8]]) -> Embeddings:
        """Unit vectors ``(pictures, values)`` of pictures ``(320, 320, 3)``, RGB.

        Raises:
            CopyDetectorError: if torch is not installed, or the file is not such a network.
        """
        network, torch = self._network, _torch()
        found: list[Embeddings] = []
        for start in range(0, len(pictures), BATCH):
            pixels = np.stack(pictures[start : start + BATCH]).astype(np.float32) / 255
            pixels = (pixels - np.array(MEAN, np.float32)) / np.array(DEVIATION, np.float32)
            given = torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))
            try:
                with torch.inference_mode():
                    vectors = network(given).float().numpy()
            except Exception as error:
                raise CopyDetectorError(f"{self.file}: the network failed: {error}") from error
            if vectors.ndim != 2 or len(vectors) != len(pixels) or not np.isfinite(vectors).all():
                raise CopyDetectorError(
                    f"{self.file}: gives {vectors.shape}, no finite vector for each of {len(pixels)} pictures"
                )
            norms = np.linalg.norm(vectors, axis=1, keepdims=True)
            found.append(vectors / np.maximum(norms, np.float32(1e-12)))
        return np.concatenate(found)

    @cached_property
    def _network(self) -> Any:
        torch = _torch()
        try:
            return torch.jit.load(str(self.file), map_location="cpu").eval()
        except (RuntimeError, ValueError) as error:
            told = str(error).strip().partition("\n")[0]
            raise CopyDetectorError(f"{self.file}: torch cannot load it as TorchScript: {told}") from error


def _torch() -> Any:
    try:
        import torch
    except ModuleNotFoundError as error:
        raise CopyDetectorError("the copy detector needs torch; install infinity-assets[ram]") from error
    return torch
