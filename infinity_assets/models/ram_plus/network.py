"""RAM++'s network (arXiv 2310.15200, section 3): a query a tag, mixed from descriptions, looks at tokens."""

from __future__ import annotations

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infinity_assets.models.ram_plus.config import RamPlusConfig
from infinity_assets.models.ram_plus.swin import Swin

#: Mean and deviation of ImageNet's pixels by channel, in 0 to 1, taken out as published.
MEAN: Final = (0.485, 0.456, 0.406)
DEVIATION: Final = (0.229, 0.224, 0.225)

_EPSILON: Final = 1e-12  #: of the decoder's norms, which are those of BERT


class QueryBlock(nn.Module):
    """Post-norm attention from queries to the picture's tokens, then an MLP; no query sees another."""

    def __init__(self, config: RamPlusConfig) -> None:
        super().__init__()
        width, self.heads = config.query_width, config.query_heads
        self.query, self.out = nn.Linear(width, width), nn.Linear(width, width)
        self.key, self.value = nn.Linear(config.joint, width), nn.Linear(config.joint, width)
        self.norm1, self.norm2 = nn.LayerNorm(width, _EPSILON), nn.LayerNorm(width, _EPSILON)
        self.up, self.down = nn.Linear(width, config.query_mlp), nn.Linear(config.query_mlp, width)

    def forward(self, queries: Tensor, tokens: Tensor) -> Tensor:
        """``(batch, tags, query width)``, over ``(batch, tokens, joint)``, to the same."""
        q, k = self._heads(self.query(queries)), self._heads(self.key(tokens))
        seen = F.scaled_dot_product_attention(q, k, self._heads(self.value(tokens)))
        seen = seen.transpose(1, 2).flatten(2)
        queries = self.norm1(queries + self.out(seen))
        return self.norm2(queries + self.down(F.gelu(self.up(queries))))

    def _heads(self, x: Tensor) -> Tensor:
        """``(batch, heads, rows, width of a head)``, a view."""
        batch, rows, width = x.shape
        return x.view(batch, rows, self.heads, width // self.heads).transpose(1, 2)


class RamPlus(nn.Module):
    """Pixels to one logit for each tag."""

    def __init__(self, config: RamPlusConfig) -> None:
        super().__init__()
        self.config = config
        self.visual = Swin(config)
        self.to_joint = nn.Linear(config.features, config.joint)
        self.descriptions = nn.Parameter(torch.empty(config.tags * config.descriptions, config.joint))
        self.temperature = nn.Parameter(torch.tensor(1 / 0.07).log())
        self.to_query = nn.Linear(config.joint, config.query_width)
        self.blocks = nn.ModuleList(QueryBlock(config) for _ in range(config.query_layers))
        self.score = nn.Linear(config.query_width, 1)
        nn.init.normal_(self.descriptions, std=config.joint**-0.5)

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits ``(batch, tags)``, float32, of ``(batch, image, image, 3)`` uint8 RGB pixels."""
        kind = self.to_joint.weight.dtype
        # Channel by channel with plain numbers: a tensor of constants would be copied to the GPU each time.
        channels = zip(pixels.unbind(-1), MEAN, DEVIATION, strict=True)
        image = torch.stack([(c.float() - 255 * mean) / (255 * dev) for c, mean, dev in channels], 1)
        patches = self.visual(image.to(kind))
        tokens = self.to_joint(torch.cat([patches.mean(1, keepdim=True), patches], 1))
        queries = F.relu(self.to_query(self.mixed_descriptions(tokens[:, 0])))
        for block in self.blocks:
            queries = block(queries, tokens)
        return self.score(queries).squeeze(-1).float()

    def mixed_descriptions(self, picture: Tensor) -> Tensor:
        """Each tag's descriptions, mixed by how well each fits the picture; ``(batch, tags, joint)``.

        Args:
            picture: ``(batch, joint)``, the token of the whole picture.
        """
        sizes = (self.config.tags, self.config.descriptions)
        each = self.descriptions.view(*sizes, self.config.joint)
        likeness = F.normalize(picture, dim=-1) @ self.descriptions.T
        weights = (self.temperature.float().exp() * likeness.float()).view(-1, *sizes).softmax(-1)
        # One product for each tag over the batch: the descriptions are read once for all pictures.
        return torch.bmm(weights.to(each.dtype).transpose(0, 1), each).transpose(0, 1)
