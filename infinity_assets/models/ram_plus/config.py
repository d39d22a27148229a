"""Sizes of the network: those published, and one small enough to train in minutes."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Final

PATCH: Final = 4  #: pixels of a patch's side (Swin, arXiv 2103.14030)
MLP_RATIO: Final = 4  #: width of a Swin block's MLP over the block's own


@dataclass(frozen=True, slots=True)
class RamPlusConfig:
    """Sizes of one network. Lengths are in pixels, patches or numbers as each says."""

    image: int  #: side of the square input, pixels
    embed: int  #: width of the first stage; each later stage doubles it
    depths: tuple[int, ...]  #: blocks of each stage
    heads: tuple[int, ...]  #: attention heads of each stage
    window: int  #: side of an attention window, in patches
    tags: int
    descriptions: int  #: descriptions of each tag
    joint: int  #: width shared by picture and descriptions
    query_width: int  #: width of the decoder
    query_heads: int
    query_mlp: int
    query_layers: int

    def __post_init__(self) -> None:
        """Refuse sizes that do not fit together.

        Raises:
            ValueError: says which.
        """
        if len(self.depths) != len(self.heads):
            raise ValueError(
                f"{len(self.depths)} depths for {len(self.heads)} heads; give one of each a stage"
            )
        for stage in range(len(self.depths)):
            side, width = self.side(stage), self.width(stage)
            if side * PATCH << stage != self.image or side % min(side, self.window):
                raise ValueError(
                    f"stage {stage}: {self.image} pixels are not cut into windows of {self.window}"
                )
            if width % self.heads[stage]:
                raise ValueError(f"stage {stage}: width {width} is not divided by {self.heads[stage]} heads")
        if self.query_width % self.query_heads:
            raise ValueError(f"query width {self.query_width} is not divided by {self.query_heads} heads")

    def side(self, stage: int) -> int:
        """Side of a stage's map, in patches."""
        return self.image // PATCH >> stage

    def width(self, stage: int) -> int:
        """Width of a stage."""
        return self.embed << stage

    @property
    def features(self) -> int:
        """Width of the last stage."""
        return self.width(len(self.depths) - 1)

    @property
    def tokens(self) -> int:
        """What the decoder looks at: the last map's patches, and their mean before them."""
        return self.side(len(self.depths) - 1) ** 2 + 1

    def multiply_adds(self) -> int:
        """Multiply-adds of one picture's forward pass: every matrix product, nothing else.

        The re-weighting of descriptions counts twice their matrix: once for weights, once for the mix.
        """
        total = self.side(0) ** 2 * 3 * PATCH**2 * self.embed
        for stage, depth in enumerate(self.depths):
            patches, width = self.side(stage) ** 2, self.width(stage)
            window = min(self.side(stage), self.window) ** 2
            block = patches * width * width * (4 + 2 * MLP_RATIO) + 2 * patches * window * width
            merge = patches // 4 * 4 * width * 2 * width if stage + 1 < len(self.depths) else 0
            total += depth * block + merge
        total += self.tokens * self.features * self.joint
        total += 2 * self.tags * self.descriptions * self.joint
        total += self.tags * self.joint * self.query_width
        layer = 2 * self.tags * self.query_width**2 + 2 * self.tokens * self.joint * self.query_width
        layer += 2 * self.tags * self.tokens * self.query_width
        layer += 2 * self.tags * self.query_width * self.query_mlp
        return total + self.query_layers * layer + self.tags * self.query_width

    def dumps(self) -> str:
        """The sizes as JSON, as a file of weights states them."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def loads(cls, text: str) -> RamPlusConfig:
        """What :meth:`dumps` wrote.

        Raises:
            ValueError: if it is no such JSON, or the sizes do not fit together.
        """
        try:
            found: dict[str, Any] = json.loads(text)
            depths, heads = (tuple(map(int, found.pop(key))) for key in ("depths", "heads"))
            return cls(depths=depths, heads=heads, **{key: int(value) for key, value in found.items()})
        except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
            raise ValueError(f"not the sizes of a RAM++ network: {text[:80]!r}") from error


#: Swin-L at 384 pixels: ``ram_plus_swin_large_14m``.
SWIN_L: Final = RamPlusConfig(
    image=384,
    embed=192,
    depths=(2, 2, 18, 2),
    heads=(6, 12, 24, 48),
    window=12,
    tags=4585,
    descriptions=51,
    joint=512,
    query_width=768,
    query_heads=4,
    query_mlp=3072,
    query_layers=2,
)

#: Small enough to be trained on one core in minutes, with every part of the large one.
TINY: Final = RamPlusConfig(
    image=64,
    embed=32,
    depths=(2, 2, 3),
    heads=(2, 4, 8),
    window=4,
    tags=15,
    descriptions=3,
    joint=64,
    query_width=96,
    query_heads=4,
    query_mlp=192,
    query_layers=2,
)
