"""Swin Transformer (arXiv 2103.14030): a picture to a map of features, attention inside shifted windows."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infinity_assets.models.ram_plus.config import MLP_RATIO, PATCH, RamPlusConfig

#: What attention loses between patches that only a shift brought side by side (as published).
APART = -100.0


class WindowAttention(nn.Module):
    """Attention inside windows of a square map, with a learned bias for each relative position.

    ``(batch, side, side, width)`` to the same. Windows stand beside heads in one dimension, so that the bias
    and the mask of a shifted map are shared by the whole batch and never copied for it.
    """

    bias_index: Tensor
    apart: Tensor

    def __init__(self, width: int, heads: int, side: int, window: int, shift: int) -> None:
        super().__init__()
        self.heads, self.window, self.shift, self.windows = heads, window, shift, (side // window) ** 2
        self.bias = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        nn.init.trunc_normal_(self.bias, std=0.02)
        self.register_buffer("bias_index", relative_positions(window), persistent=False)
        self.register_buffer("apart", apart(side, window, shift), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Attend within each window."""
        batch, side, _, width = x.shape
        window, count = self.window, side // self.window
        if self.shift:
            x = x.roll((-self.shift, -self.shift), (1, 2))
        qkv = self.qkv(x).view(batch, count, window, count, window, 3, self.heads, width // self.heads)
        # -> 3, batch, windows x heads, patches of a window, width of a head
        qkv = qkv.permute(5, 0, 1, 3, 6, 2, 4, 7).flatten(5, 6).flatten(2, 4)
        bias = self.bias[self.bias_index].permute(2, 0, 1).unsqueeze(0)  # 1, heads, patches, patches
        mask = (bias + self.apart.to(bias.dtype).unsqueeze(1)).expand(self.windows, -1, -1, -1)
        out = F.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2], mask.flatten(0, 1).unsqueeze(0))
        out = out.unflatten(1, (count, count, self.heads)).unflatten(4, (window, window))
        out = out.permute(0, 1, 4, 2, 5, 3, 6).reshape(batch, side, side, width)
        out = self.proj(out)
        return out.roll((self.shift, self.shift), (1, 2)) if self.shift else out


class Block(nn.Module):
    """Pre-norm attention and MLP, both residual."""

    def __init__(self, width: int, heads: int, side: int, window: int, shift: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = WindowAttention(width, heads, side, window, shift)
        self.up, self.down = nn.Linear(width, MLP_RATIO * width), nn.Linear(MLP_RATIO * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, side, side, width)`` to the same."""
        x = x + self.attn(self.norm1(x))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class Merge(nn.Module):
    """Four neighbouring patches become one of twice the width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * width)
        self.reduction = nn.Linear(4 * width, 2 * width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, side, side, width)`` to ``(batch, side / 2, side / 2, 2 x width)``."""
        batch, side, _, width = x.shape
        # Upper left, lower left, upper right, lower right: the column leads.
        x = x.view(batch, side // 2, 2, side // 2, 2, width).permute(0, 1, 3, 4, 2, 5)
        return self.reduction(self.norm(x.reshape(batch, side // 2, side // 2, 4 * width)))


class Swin(nn.Module):
    """The whole encoder: ``(batch, 3, image, image)`` to ``(batch, patches, features)``."""

    def __init__(self, config: RamPlusConfig) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, config.embed, PATCH, PATCH)
        self.patch_norm = nn.LayerNorm(config.embed)
        self.stages = nn.ModuleList(_stage(config, number) for number in range(len(config.depths)))
        self.merges = nn.ModuleList(Merge(config.width(number)) for number in range(len(config.depths) - 1))
        self.norm = nn.LayerNorm(config.features)

    def forward(self, image: Tensor) -> Tensor:
        """Features of each patch of the last map, row by row."""
        x = self.patch_norm(self.patch(image).permute(0, 2, 3, 1))
        for number, stage in enumerate(self.stages):
            x = stage(x)
            if number < len(self.merges):
                x = self.merges[number](x)
        return self.norm(x).flatten(1, 2)


def _stage(config: RamPlusConfig, number: int) -> nn.Sequential:
    side = config.side(number)
    window = min(side, config.window)
    blocks = []
    for index in range(config.depths[number]):
        # Every other block is shifted; a map of one window has nowhere to shift to.
        shift = window // 2 if index % 2 and side > window else 0
        blocks.append(Block(config.width(number), config.heads[number], side, window, shift))
    return nn.Sequential(*blocks)


def relative_positions(window: int) -> Tensor:
    """``(patches, patches)``: which entry of the bias holds for each pair of a window's patches."""
    place = torch.arange(window * window)
    down, right = place // window, place % window
    rows = down[:, None] - down[None, :] + window - 1
    return rows * (2 * window - 1) + right[:, None] - right[None, :] + window - 1


def apart(side: int, window: int, shift: int) -> Tensor:
    """``(windows, patches, patches)`` of :data:`APART` where a shift joined two patches, else 0.

    One window's worth, all 0, without a shift.
    """
    if not shift:
        return torch.zeros(1, window * window, window * window)
    place = torch.arange(side)
    band = (place >= side - window).long() + (place >= side - shift).long()
    region = band[:, None] * 3 + band[None, :]
    count = side // window
    region = region.view(count, window, count, window).permute(0, 2, 1, 3).reshape(count * count, -1)
    return (region[:, :, None] != region[:, None, :]).float() * APART
