"""Without these, a GPU sees other pictures than a CPU does.

The kernel runs where Triton is: on a GPU, or slowly in Triton's interpreter. Torch for CPUs brings no Triton.
"""

from __future__ import annotations

import os
import subprocess
import sys

import torch
import torch.nn.functional as F

from infinity_assets.models.ram_plus import window_kernel
from infinity_assets.models.ram_plus.window_kernel import HEAD, PATCHES, fits

WINDOWS, HEADS, BATCH = 4, 3, 2


def differs(device: str, dtype: torch.dtype) -> float:
    """How far the kernel is from torch's attention in double precision, over its own length."""
    torch.manual_seed(0)
    width = HEADS * HEAD
    qkv = torch.randn(BATCH, WINDOWS * PATCHES, 3 * width, device=device, dtype=dtype)
    mask = torch.randn(WINDOWS * HEADS, PATCHES, PATCHES, device=device, dtype=dtype)
    mask[:, :40, 100:] -= 100
    found = window_kernel.window_attention(qkv, mask, HEADS).double()
    parts = (part.double().reshape(BATCH, PATCHES, -1, HEAD).transpose(1, 2) for part in qkv.chunk(3, -1))
    true = F.scaled_dot_product_attention(*parts, mask.double()[None]).transpose(1, 2).reshape(found.shape)
    return float((found - true).norm() / true.norm())


def test_only_sizes_and_machines_that_the_kernel_is_written_for_are_given_to_it():
    """Windows of another size would be read beyond their end."""
    qkv = torch.zeros(1, PATCHES, 3 * HEAD, dtype=torch.bfloat16)
    assert not fits(qkv, PATCHES, HEAD), "this one lies on the CPU"
    if torch.cuda.is_available() and window_kernel.triton is not None:
        given = qkv.cuda()
        assert fits(given, PATCHES, HEAD) and not fits(given.float(), PATCHES, HEAD)
        assert not fits(given, 49, HEAD) and not fits(given, PATCHES, 64)


def test_what_follows_the_kernel_is_planned_for_the_right_shape():
    """torch.compile would write past the end, or stop."""
    meta = torch.empty(BATCH, WINDOWS * PATCHES, 3 * HEADS * HEAD, device="meta")
    mask = torch.empty(WINDOWS * HEADS, PATCHES, PATCHES, device="meta")
    assert window_kernel.window_attention(meta, mask, HEADS).shape == (BATCH, WINDOWS * PATCHES, HEADS * HEAD)


if window_kernel.triton is not None:

    def test_the_kernel_sees_what_torch_sees():
        """Wrong attention still gives logits, only wrong ones."""
        if torch.cuda.is_available():
            assert differs("cuda", torch.bfloat16) < 5e-3  # numbers of 8 bits
            return
        code = f"import torch, {__name__} as test; assert test.differs('cpu', torch.float32) < 1e-5"
        environment = {**os.environ, "TRITON_INTERPRET": "1"}
        subprocess.run([sys.executable, "-c", code], env=environment, check=True)
