"""Without these, the network computes something else than what its weights were trained for."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from infinity_assets.models.ram_plus.config import TINY
from infinity_assets.models.ram_plus.network import RamPlus
from infinity_assets.models.ram_plus.swin import Merge, Swin, WindowAttention, window_order

HEADS, WIDTH, SIDE, WINDOW = 2, 8, 8, 4


def published_mask(shift):
    """The mask as the published Swin code builds it: nine regions by slices."""
    regions = torch.zeros(SIDE, SIDE)
    slices = (slice(0, -WINDOW), slice(-WINDOW, -shift), slice(-shift, None))
    for number, (rows, columns) in enumerate((r, c) for r in slices for c in slices):
        regions[rows, columns] = number
    return regions


@pytest.mark.parametrize("shift", [0, 2])
def test_windows_see_what_they_should(shift):
    """Attention across the wrong patches still gives logits, only wrong ones: it is redone by hand."""
    torch.manual_seed(0)
    layer = WindowAttention(WIDTH, HEADS, SIDE, WINDOW, shift)
    torch.nn.init.normal_(layer.bias)
    x = torch.randn(3, SIDE, SIDE, WIDTH)
    order = window_order(SIDE, WINDOW, shift)
    given = layer(x.flatten(1, 2)[:, order])[:, order.argsort()].view_as(x)
    rolled = torch.roll(x, (-shift, -shift), (1, 2))
    regions = published_mask(shift) if shift else torch.zeros(SIDE, SIDE)
    out = torch.zeros_like(x)
    for top in range(0, SIDE, WINDOW):
        for left in range(0, SIDE, WINDOW):
            part = rolled[:, top : top + WINDOW, left : left + WINDOW].reshape(3, -1, WIDTH)
            region = regions[top : top + WINDOW, left : left + WINDOW].flatten()
            q, k, v = layer.qkv(part).reshape(3, -1, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
            scores = (q * (WIDTH // HEADS) ** -0.5) @ k.transpose(-2, -1)
            for a in range(WINDOW**2):
                for b in range(WINDOW**2):
                    down, right = a // WINDOW - b // WINDOW, a % WINDOW - b % WINDOW
                    entry = (down + WINDOW - 1) * (2 * WINDOW - 1) + right + WINDOW - 1
                    scores[:, :, a, b] += layer.bias[entry] + (-100.0 if region[a] != region[b] else 0.0)
            mixed = layer.proj((scores.softmax(-1) @ v).transpose(1, 2).reshape(3, -1, WIDTH))
            out[:, top : top + WINDOW, left : left + WINDOW] = mixed.reshape(3, WINDOW, WINDOW, WIDTH)
    assert torch.allclose(given, torch.roll(out, (shift, shift), (1, 2)), atol=1e-5)


def test_patches_merge_in_the_published_order():
    """Another order of the four would feed every weight the wrong number."""
    x = torch.randn(2, 6, 6, 4)
    layer = Merge(4, 6)
    four = torch.cat([x[:, 0::2, 0::2], x[:, 1::2, 0::2], x[:, 0::2, 1::2], x[:, 1::2, 1::2]], -1)
    merged = layer.reduction(layer.norm(four))
    assert torch.allclose(layer(x.flatten(1, 2)), merged.flatten(1, 2), atol=1e-6)


def test_descriptions_are_mixed_for_each_picture_as_one_by_one():
    """The whole batch is mixed at once; a picture's tags must not depend on which others are in it."""
    network = RamPlus(TINY)
    picture = torch.randn(4, TINY.joint)
    each = network.descriptions.view(TINY.tags, TINY.descriptions, TINY.joint)
    given = network.mixed_descriptions(picture)
    for number, one in enumerate(F.normalize(picture, dim=-1)):
        weights = (network.temperature.exp() * (network.descriptions @ one)).view(TINY.tags, -1).softmax(1)
        assert torch.allclose(given[number], (weights[:, :, None] * each).sum(1), atol=1e-5)


def test_work_is_counted_as_torch_counts_it():
    """The benchmark's share of the machine's rate would be of another number of operations."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter, torch.no_grad():
        RamPlus(TINY)(torch.zeros((1, TINY.image, TINY.image, 3), dtype=torch.uint8))
    assert counter.get_total_flops() == 2 * TINY.multiply_adds()


def test_features_of_one_picture_do_not_reach_another():
    """Windows and heads share a dimension with the batch beside it; a slip there would mix pictures."""
    torch.manual_seed(1)
    encoder = Swin(TINY).eval()
    images = torch.randn(3, 3, TINY.image, TINY.image)
    with torch.no_grad():
        before = encoder(images)
        images[1] = 0
        after = encoder(images)
    assert torch.allclose(before[0], after[0], atol=1e-5) and torch.allclose(before[2], after[2], atol=1e-5)
    assert not torch.allclose(before[1], after[1], atol=1e-2)
