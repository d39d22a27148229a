"""RAM++ as a tagger of pictures: from stored bytes to tags with logits."""

from __future__ import annotations

import functools
import os
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import blake3
import numpy as np

from infinity_assets.models.ram_plus.checkpoint import WeightsError, file_sha256
from infinity_assets.models.ram_plus.feed import batches
from infinity_assets.models.ram_plus.runners import Dtype, Logits, Pixels, Runner
from infinity_assets.models.ram_plus.vocabulary import TagList, load_tags
from infinity_assets.models.taggers.protocol import Decode, Options, Picture, PictureTags

#: Raised whenever the same weights would give the same picture other logits.
RAM_PLUS_VERSION: Final = 1

#: Tags with a logit of this or more are handed out; what counts is decided later, by policy and threshold.
#: Our choice: a probability of 0.27, below every published threshold (0.45 and more).
FLOOR: Final = -1.0


@dataclass(frozen=True, slots=True)
class RamPlusFiles:
    """Which weights and lists, and how they are run. Paths are as the process sees them."""

    weights: str  #: ``.safetensors`` for torch, ``.onnx`` for onnxruntime
    tags: str  #: one tag a line
    thresholds: str | None = None  #: one probability a line; 0.5 for all if None
    descriptions: str | None = None  #: another matrix of descriptions, for an open set
    dtype: Dtype = "bfloat16"  #: of the arithmetic in torch
    device: str | None = None  #: of torch; a GPU where there is one if None
    compiled: bool = False  #: torch.compile: a minute at the start, for long runs
    batch: int = 64

    @property
    def engine(self) -> str:
        """``torch`` or ``onnx``, by the file's name.

        Raises:
            WeightsError: if it is neither.
        """
        suffix = Path(self.weights).suffix
        if suffix == ".onnx" and self.descriptions is not None:
            raise WeightsError(
                f"{self.weights}: other descriptions need .safetensors; export them into the ONNX file"
            )
        if suffix not in (".onnx", ".safetensors"):
            raise WeightsError(
                f"{self.weights}: neither .safetensors nor .onnx; convert the checkpoint first"
            )
        return "onnx" if suffix == ".onnx" else "torch"

    @property
    def options(self) -> Options:
        """As JSON values; :class:`RamPlusFiles` takes them back."""
        return asdict(self)

    def tag_list(self) -> TagList:
        """The tags and their thresholds."""
        return load_tags(Path(self.tags), Path(self.thresholds) if self.thresholds else None)

    def hash(self) -> str:
        """32 hex characters of all that decides the logits of a picture: contents of files, not their names.

        Thresholds are left out, since they follow later; so are device and batch, which change no more than
        the last bits. Nothing is loaded.
        """
        files = [self.weights, self.tags, *([self.descriptions] if self.descriptions else [])]
        arithmetic = self.dtype if self.engine == "torch" else "float32"
        parts = [self.engine, arithmetic, str(RAM_PLUS_VERSION), *(file_sha256(Path(f)) for f in files)]
        return blake3.blake3("\n".join(parts).encode()).hexdigest(length=16)


class RamPlusTagger:
    """See :class:`~infinity_assets.models.taggers.protocol.PictureTagger`."""

    def __init__(self, runner: Runner, tags: tuple[str, ...], decode: Decode, *, batch: int) -> None:
        if runner.tags != len(tags):
            raise WeightsError(
                f"the network gives {runner.tags} logits for a list of {len(tags)} tags; give its own list"
            )
        self._runner, self._tags, self._decode, self._batch = runner, tags, decode, batch
        self._threads = min(16, os.cpu_count() or 1)

    def tag(self, pictures: Iterable[Picture]) -> Iterator[PictureTags]:
        """Tags of each picture from :data:`FLOOR` on, in order."""
        ids: deque[list[str]] = deque()

        def pixels() -> Iterator[Pixels]:
            for names, memory in batches(
                pictures, self._runner, self._decode, size=self._batch, threads=self._threads
            ):
                ids.append(names)
                yield memory

        for logits in self._runner.run(pixels()):
            yield from self._named(ids.popleft(), logits)

    def _named(self, ids: list[str], logits: Logits) -> Iterator[PictureTags]:
        if not np.isfinite(logits).all():
            raise WeightsError("the network gave a logit that is no number; are the weights whole?")
        for image_id, row in zip(ids, logits, strict=True):
            found = np.flatnonzero(row >= FLOOR)
            yield PictureTags(image_id, tuple(self._tags[i] for i in found), tuple(row[found].tolist()))


@functools.lru_cache(maxsize=1)
def open_ram_plus(files: RamPlusFiles, decode: Decode) -> RamPlusTagger:
    """The tagger, loaded once a process.

    Raises:
        WeightsError: if a file is missing or does not fit, or the extra is not installed.
    """
    tags = files.tag_list().tags
    return RamPlusTagger(_runner(files, len(tags)), tags, decode, batch=files.batch)


def _runner(files: RamPlusFiles, tags: int) -> Runner:
    from infinity_assets.models.ram_plus import checkpoint, runners

    try:
        if files.engine == "onnx":
            return runners.OnnxRunner(Path(files.weights), device=files.device or "cpu")
        import torch
    except ModuleNotFoundError as error:
        raise WeightsError(f"{error.name} is not installed; install infinity-assets[ram]") from error
    matrix = Path(files.descriptions) if files.descriptions else None
    network = checkpoint.load(Path(files.weights), descriptions=matrix, vocabulary=tags)
    device = files.device or ("cuda" if torch.cuda.is_available() else "cpu")
    return runners.TorchRunner(network, device=device, dtype=files.dtype, compiled=files.compiled)
