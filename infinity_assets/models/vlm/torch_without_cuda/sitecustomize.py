"""Lets torchvision be imported beside a torch without CUDA; for the environment of the vLLM server only.

PyPI has torchvision built for CUDA alone. Beside a CPU torch its compiled library is not loaded, and its
import then fails, because it registers shape functions for two operators that nobody has declared. Declared
they are enough: vLLM uses the transforms, which are plain torch. vLLM starts processes of its own, hence a
module that Python loads at every start.
"""

from __future__ import annotations

import sys
from typing import Any


class _DeclareBeforeTorchvision:
    """Looks at every import and finds none; the first one of torchvision is preceded by the declarations."""

    library: Any = None  #: kept, since the declarations live as long as it does

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name == "torchvision" and self.library is None:
            import torch

            if not torch.backends.cuda.is_built():
                self.library = torch.library.Library("torchvision", "FRAGMENT")
                boxes = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
                for operator in ("nms", "qnms"):
                    self.library.define(operator + boxes)


sys.meta_path.insert(0, _DeclareBeforeTorchvision())  # type: ignore[arg-type]
