"""What runs the network over batches of pixels: torch on any device, or onnxruntime."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from infinity_assets.models.ram_plus.checkpoint import WeightsError

Pixels = npt.NDArray[np.uint8]
Logits = npt.NDArray[np.float32]
Dtype = Literal["float32", "bfloat16"]

#: Batches that a device has been given beyond the one whose result is awaited.
AHEAD = 2


class Runner(Protocol):
    """Runs batches in order."""

    side: int  #: of the square input, pixels
    tags: int  #: logits of each picture

    def buffer(self, size: int) -> Pixels:
        """Memory ``(size, side, side, 3)`` to write a batch into, from where it travels fastest."""
        ...

    def run(self, batches: Iterable[Pixels]) -> Iterator[Logits]:
        """Logits ``(size, tags)`` of each batch; later batches are asked for before earlier ones are done."""
        ...


class TorchRunner:
    """The network in torch. On a GPU copies to it, work on it and copies back overlap.

    There the network is recorded once, as a CUDA graph for batches of one size, and replayed: kernels that
    are launched one by one wait for the interpreter's lock, which the decoding threads hold by turns. A
    smaller batch is filled up; a larger one is recorded anew.
    """

    def __init__(self, network: Any, *, device: str, dtype: Dtype, compiled: bool = False) -> None:
        import torch

        self.device = torch.device(device)
        self.side, self.tags = network.config.image, network.config.tags
        network = network.to(self.device, getattr(torch, dtype))
        self.network = torch.compile(network) if compiled else network
        self._padded = compiled or self.device.type == "cuda"
        self._largest = 0
        self._recorded: tuple[Any, Any, Any] | None = None  # the graph, its pixels and its logits
        self._cuda = self.device.type == "cuda"
        self._copies = torch.cuda.Stream(self.device) if self._cuda else None

    def buffer(self, size: int) -> Pixels:
        """Page-locked memory where there is a GPU."""
        import torch

        shape = (size, self.side, self.side, 3)
        memory: Pixels = torch.empty(shape, dtype=torch.uint8, pin_memory=self._cuda).numpy()
        return memory

    def run(self, batches: Iterable[Pixels]) -> Iterator[Logits]:
        """See :class:`Runner`."""
        waiting: deque[Any] = deque()
        for pixels in batches:
            waiting.append(self._submit(pixels))
            if not self._cuda or len(waiting) > AHEAD:
                yield self._finish(waiting.popleft())
        while waiting:
            yield self._finish(waiting.popleft())

    def _submit(self, pixels: Pixels) -> tuple[Any, Any, int, Any]:
        import torch

        count = len(pixels)
        self._largest = max(self._largest, count)
        host = torch.from_numpy(pixels)
        if self._padded and count < self._largest:  # one shape: the last batch compiles and records nothing
            host = torch.cat([host, host[-1:].expand(self._largest - count, -1, -1, -1)])
        with torch.inference_mode():
            if self._copies is None:
                return self.network(host), None, count, host
            compute = torch.cuda.current_stream(self.device)
            with torch.cuda.stream(self._copies):
                on_device = host.to(self.device, non_blocking=True)
            compute.wait_stream(self._copies)
            on_device.record_stream(compute)
            logits = self.replay(on_device)
            out = torch.empty(logits.shape, dtype=logits.dtype, pin_memory=True)
            out.copy_(logits, non_blocking=True)
            done = torch.cuda.Event(blocking=True)  # whoever waits for it leaves the core to the decoders
            done.record(compute)
        return out, done, count, host  # the host's memory has to live until the copy is done

    def replay(self, pixels: Any) -> Any:
        """Logits of pixels that lie on the GPU. They are overwritten by the next call."""
        if self._recorded is None or self._recorded[1].shape != pixels.shape:
            self._recorded = self._record(pixels)
        graph, given, logits = self._recorded
        given.copy_(pixels)
        graph.replay()
        return logits

    def _record(self, pixels: Any) -> tuple[Any, Any, Any]:
        import torch

        self._recorded = None  # its memory is free before the next takes some
        with torch.inference_mode(), torch.cuda.device(self.device):
            given, warm = pixels.clone(), torch.cuda.Stream()
            warm.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(warm):
                for _ in range(2):  # kernels are chosen, compiled and given their work space
                    self.network(given)
            torch.cuda.synchronize()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                logits = self.network(given)
        return graph, given, logits

    def _finish(self, submitted: tuple[Any, Any, int, Any]) -> Logits:
        out, done, count, _ = submitted
        if done is not None:
            done.synchronize()
        logits: Logits = out[:count].numpy()
        return logits


class OnnxRunner:
    """A network that :func:`export_onnx` wrote, in onnxruntime."""

    def __init__(self, path: Path, *, device: str = "cpu", threads: int = 0) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        providers = ["CUDAExecutionProvider"] if device.startswith("cuda") else ["CPUExecutionProvider"]
        if providers[0] not in onnxruntime.get_available_providers():
            raise WeightsError(
                f"this onnxruntime has no {providers[0]}; install one that has, or run on the CPU"
            )
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=providers)
        except Exception as error:
            raise WeightsError(f"{path}: onnxruntime cannot load it: {error}") from error
        (pixels,), (logits,) = self._session.get_inputs(), self._session.get_outputs()
        if pixels.type != "tensor(uint8)" or len(pixels.shape) != 4 or len(logits.shape) != 2:
            raise WeightsError(f"{path}: not a RAM++ network of this project; export it again")
        self.side, self.tags = int(pixels.shape[1]), int(logits.shape[1])

    def buffer(self, size: int) -> Pixels:
        """Plain memory."""
        return np.empty((size, self.side, self.side, 3), np.uint8)

    def run(self, batches: Iterable[Pixels]) -> Iterator[Logits]:
        """See :class:`Runner`."""
        for pixels in batches:
            (logits,) = self._session.run(None, {"pixels": pixels})
            yield logits


def export_onnx(network: Any, path: Path) -> None:
    """Write the network as ONNX, float32, for batches of any size; it appears whole or not at all."""
    import torch

    side = network.config.image
    example = torch.zeros((2, side, side, 3), dtype=torch.uint8)
    staged = path.with_name(f".{path.name}.staged")
    torch.onnx.export(
        network.float().cpu().eval(),
        (example,),
        staged,
        dynamo=True,
        external_data=False,  # one file, so that one hash names it; 1.3 GB at full size, the format holds 2
        input_names=["pixels"],
        output_names=["logits"],
        dynamic_shapes={"pixels": {0: torch.export.Dim("batch")}},
        verbose=False,
    )
    staged.replace(path)
