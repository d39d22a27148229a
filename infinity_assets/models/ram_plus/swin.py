"""Swin Transformer (arXiv 2103.14030): a picture to a map of features, attention inside shifted windows."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infinity_assets.models.ram_plus import window_kernel
from infinity_assets.models.ram_plus.config import MLP_RATIO, PATCH, RamPlusConfig

#: What attention loses between patches that only a shift brought side by side (as published).
APART = -100.0


class WindowAttention(nn.Module):
    """Attention inside windows of a square map, with a learned bias for each relative position.

    ``(batch, patches, width)`` to the same, in the order of :func:`window_order`: the heads of all windows
    then lie side by side for each place in a window, as one dimension of the attention, so that the bias and
    the mask of a shifted map are shared by the whole batch and never copied for it.
    """

    bias_index: Tensor
    apart: Tensor

    def __init__(self, width: int, heads: int, side: int, window: int, shift: int) -> None:
        super().__init__()
        self.heads, self.windows = heads, (side // window) ** 2
        self.bias = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        nn.init.trunc_normal_(self.bias, std=0.02)
        self.register_buffer("bias_index", relative_positions(window), persistent=False)
        self.register_buffer("apart", apart(side, window, shift), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Attend within each window."""
        qkv = self.qkv(x)
        bias = self.bias[self.bias_index].permute(2, 0, 1).unsqueeze(0)  # 1, heads, patches, patches
        mask = (bias + self.apart.to(bias.dtype).unsqueeze(1)).expand(self.windows, -1, -1, -1).flatten(0, 1)
        patches, head = mask.shape[-1], x.shape[-1] // self.heads
        if window_kernel.fits(qkv, patches, head):
            return self.proj(window_kernel.window_attention(qkv, mask, self.heads))
        # -> batch, windows x heads, patches of a window, width of a head
        q, k, v = (part.reshape(x.shape[0], patches, -1, head).transpose(1, 2) for part in qkv.chunk(3, -1))
        out = F.scaled_dot_product_attention(q, k, v, mask.unsqueeze(0))
        return self.proj(out.transpose(1, 2).reshape(x.shape))


class Block(nn.Module):
    """Pre-norm attention and MLP, both residual."""

    order: Tensor
    back: Tensor

    def __init__(self, width: int, heads: int, side: int, window: int, shift: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = WindowAttention(width, heads, side, window, shift)
        self.up, self.down = nn.Linear(width, MLP_RATIO * width), nn.Linear(MLP_RATIO * width, width)
        order = window_order(side, window, shift)
        self.register_buffer("order", order, persistent=False)
        self.register_buffer("back", order.argsort(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, patches, width)``, row by row, to the same."""
        x = x + self.attn(self.norm1(x[:, self.order]))[:, self.back]
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class Merge(nn.Module):
    """Four neighbouring patches become one of twice the width."""

    def __init__(self, width: int, side: int) -> None:
        super().__init__()
        self.side = side
        self.norm = nn.LayerNorm(4 * width)
        self.reduction = nn.Linear(4 * width, 2 * width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, patches, width)``, row by row, to ``(batch, patches / 4, 2 x width)``."""
        batch, patches, width = x.shape
        half = self.side // 2
        # Upper left, lower left, upper right, lower right: the column leads.
        x = x.view(batch, half, 2, half, 2, width).permute(0, 1, 3, 4, 2, 5)
        return self.reduction(self.norm(x.reshape(batch, patches // 4, 4 * width)))


class Swin(nn.Module):
    """The whole encoder: ``(batch, 3, image, image)`` to ``(batch, patches, features)``."""

    def __init__(self, config: RamPlusConfig) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, config.embed, PATCH, PATCH)
        self.patch_norm = nn.LayerNorm(config.embed)
        self.stages = nn.ModuleList(_stage(config, number) for number in range(len(config.depths)))
        self.merges = nn.ModuleList(
            Merge(config.width(number), config.side(number)) for number in range(len(config.depths) - 1)
        )
        self.norm = nn.LayerNorm(config.features)

    def forward(self, image: Tensor) -> Tensor:
        """Features of each patch of the last map, row by row."""
        # A convolution whose steps are as long as its kernel is wide is one product over patches.
        count = image.shape[-1] // PATCH
        cut = image.view(-1, 3, count, PATCH, count, PATCH).permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)
        x = self.patch_norm(F.linear(cut, self.patch.weight.flatten(1), self.patch.bias))
        for number, stage in enumerate(self.stages):
            x = stage(x)
            if number < len(self.merges):
                x = self.merges[number](x)
        return self.norm(x)


def _stage(config: RamPlusConfig, number: int) -> nn.Sequential:
    side = config.side(number)
    window = min(side, config.window)
    blocks = []
    for index in range(config.depths[number]):
        # Every other block is shifted; a map of one window has nowhere to shift to.
        shift = window // 2 if index % 2 and side > window else 0
        blocks.append(Block(config.width(number), config.heads[number], side, window, shift))
    return nn.Sequential(*blocks)


def window_order(side: int, window: int, shift: int) -> Tensor:
    """``(patches,)``: which patch of a map, row by row, stands where before the attention.

    The place in a window leads, then come the windows, row by row. The map is shifted up and to the left
    first; what leaves it comes in again on the other side.
    """
    count = side // window
    place = torch.arange(side * side).view(side, side).roll((-shift, -shift), (0, 1))
    return place.view(count, window, count, window).permute(1, 3, 0, 2).flatten()


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
