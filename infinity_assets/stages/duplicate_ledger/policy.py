"""What follows from a duplicate: the section ``duplicates`` of the policy file."""

from __future__ import annotations

import functools
import json
from typing import Annotated, Literal

import blake3
from pydantic import BaseModel, ConfigDict, Field, model_validator

from infinity_assets.similarity.pictures import PHASH_RADIUS
from infinity_assets.similarity.texts import NEAR

Action = Literal["drop", "record"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class KindPolicy(_Model):
    """What an edge of one kind does to the later of its samples."""

    action: Action
    source: str = ""  #: paper section, or "our choice" with the reason


class DuplicatePolicy(_Model):
    """Which kinds of edge drop a sample, how near is near, and whom nobody yields to.

    Kinds that only record: ``same_image``, ``near_image``, ``image_variant``, ``same_pictures``,
    ``same_text``, ``near_text``, ``shared_questions``. Several questions on one picture are legitimate, and
    so is one question on several.
    """

    exact_pair: KindPolicy = KindPolicy(action="drop")
    near_pair: KindPolicy = KindPolicy(action="drop")
    shared_turns: KindPolicy = KindPolicy(action="drop")  #: where all exchanges are contained
    phash_radius: int = Field(default=PHASH_RADIUS, ge=0, le=16)  #: bits of 64, beside the second witness
    text_similarity: float = Field(default=NEAR, ge=NEAR, le=1)  #: Jaccard, beside the rule of what is said
    barring: list[Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]] = Field(default_factory=list)
    """Reasons of ``filtered`` that a sample's duplicates need not share: nobody yields to a sample that is
    dropped for one of these. A licence that is dropped always bars."""
    source: str = ""

    @model_validator(mode="after")
    def _coarser_after_finer(self) -> DuplicatePolicy:
        if self.exact_pair.action == "record" and "drop" in (self.near_pair.action, self.shared_turns.action):
            raise ValueError("exact pairs are near pairs too: drop them as well, or record all three")
        return self

    @property
    def dropping(self) -> frozenset[str]:
        """Kinds of edge that drop."""
        kinds = {
            "exact_pair": self.exact_pair,
            "near_pair": self.near_pair,
            "shared_turns": self.shared_turns,
        }
        return frozenset(kind for kind, policy in kinds.items() if policy.action == "drop")

    @functools.cached_property
    def hash(self) -> str:
        """32 hex characters of everything that decides; reasons and sources of the choices left out."""
        content = self.model_dump(mode="json", exclude={"source"})
        for kind in ("exact_pair", "near_pair", "shared_turns"):
            del content[kind]["source"]
        content["barring"] = sorted(set(content["barring"]))
        return blake3.blake3(json.dumps(content, sort_keys=True).encode()).hexdigest(length=16)
