"""Attention inside Swin's windows on an NVIDIA GPU, as one Triton kernel for the published sizes.

The kernels that torch brings pad 144 patches to 256 and read the bias slowly: on an H100 they took 24 % of
the network's time for 2 % of its operations. Here each program does one head of one window, out of the qkv
product as it lies in memory. It computes what :func:`torch.nn.functional.scaled_dot_product_attention` does.
"""

# Triton knows no annotations but its own.
# ruff: noqa: ANN001, ANN202
# mypy: disallow-untyped-defs=False, disallow-untyped-decorators=False, disallow-untyped-calls=False

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

try:
    import triton
    import triton.language as tl
except ModuleNotFoundError:  # torch for CPUs and for some systems comes without it
    triton = None

#: What the kernel is written for: patches of a window, and the width of a head.
PATCHES: Final = 144
HEAD: Final = 32
_WARPS: Final = 4
_REGISTERS: Final = 128  #: of a thread; with those that the compiler wants (180) the kernel is a fifth slower


def fits(qkv: Tensor, patches: int, head: int) -> bool:
    """Can the kernel take this? If not, torch's own attention does."""
    sizes = (patches, head) == (PATCHES, HEAD)
    return triton is not None and qkv.is_cuda and qkv.dtype == torch.bfloat16 and sizes


@torch.library.custom_op("infinity_assets::window_attention", mutates_args=())
def window_attention(qkv: Tensor, mask: Tensor, heads: int) -> Tensor:
    """Attention within each window.

    Args:
        qkv: ``(batch, patches, 3 x width)``, contiguous, in the order of
            :func:`~infinity_assets.models.ram_plus.swin.window_order`.
        mask: ``(windows x heads, patches of a window, patches of a window)``, contiguous; added to scores.
        heads: of one window.

    Returns:
        ``(batch, patches, width)``.
    """
    out = _like_out(qkv, mask, heads)
    windows = len(mask) // heads
    grid = (len(mask), len(qkv))
    with torch.cuda.device_of(qkv):
        _attend[grid](qkv, mask, out, windows, heads, num_warps=_WARPS, maxnreg=_REGISTERS)
    return out


@window_attention.register_fake
def _like_out(qkv: Tensor, mask: Tensor, heads: int) -> Tensor:
    return qkv.new_empty(*qkv.shape[:2], qkv.shape[2] // 3)


if triton is not None:

    @triton.jit
    def _attend(qkv, mask, out, windows, heads):
        """One head of one window: 144 patches as 64, 64 and 16, seen as 128 and 16, all powers of two."""
        place, picture = tl.program_id(0), tl.program_id(1).to(tl.int64)
        window, head = place // heads, place % heads
        width = heads * 32
        many, few = tl.arange(0, 128), 128 + tl.arange(0, 16)
        # The window's first patch; the next lies `windows` behind it.
        first = picture * 144 * windows + window
        step = windows * 3 * width
        queries = qkv + first * 3 * width + head * 32 + tl.arange(0, 32)[None, :]
        keys, values = queries + width, queries + 2 * width
        k0, k1 = tl.load(keys + many[:, None] * step), tl.load(keys + few[:, None] * step)
        v0, v1 = tl.load(values + many[:, None] * step), tl.load(values + few[:, None] * step)
        mask += place * 144 * 144
        out += first * width + head * 32 + tl.arange(0, 32)[None, :]
        half = tl.arange(0, 64)
        _rows(queries, k0, k1, v0, v1, mask, out, half, many, few, windows, width)
        _rows(queries, k0, k1, v0, v1, mask, out, half + 64, many, few, windows, width)
        _rows(queries, k0, k1, v0, v1, mask, out, few, many, few, windows, width)

    @triton.jit
    def _rows(queries, k0, k1, v0, v1, mask, out, rows, many, few, windows, width):
        """Some patches see all. Powers are of two, which the hardware has."""
        q = tl.load(queries + rows[:, None] * (windows * 3 * width))
        row = mask + rows[:, None] * 144
        s0 = tl.dot(q, tl.trans(k0)) * 0.17677669529663687 + tl.load(row + many[None, :])  # 1 / sqrt(32)
        s1 = tl.dot(q, tl.trans(k1)) * 0.17677669529663687 + tl.load(row + few[None, :])
        top = tl.maximum(tl.max(s0, 1), tl.max(s1, 1))[:, None]
        p0 = tl.exp2((s0 - top) * 1.4426950408889634)  # log2(e)
        p1 = tl.exp2((s1 - top) * 1.4426950408889634)
        total = (tl.sum(p0, 1) + tl.sum(p1, 1))[:, None]
        seen = (tl.dot(p0.to(q.dtype), v0) + tl.dot(p1.to(q.dtype), v1)) / total
        tl.store(out + rows[:, None] * (windows * width), seen.to(q.dtype))
