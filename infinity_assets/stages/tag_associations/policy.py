"""The seed set that associations are counted on, and the constants of counting: one file."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Annotated, Final

import blake3
from pydantic import BaseModel, ConfigDict, Field

from infinity_assets.yaml_file import read_or_refuse

DEFAULT: Final = Path(__file__).parents[2] / "policies" / "associations.yaml"
_Name = Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SeedSet(_Model):
    """What is counted on. It moves only when a person moves it here."""

    name: _Name
    revision: int = Field(ge=1)  #: raise it to pin anew
    #: Source -> data version of its ``tagged``; null: the one that is published when this revision is first
    #: counted. Empty: every source but benchmarks, likewise, once all of the catalogue have tags.
    sources: dict[_Name, str | None] = Field(default_factory=dict)


class AssociationPolicy(_Model):
    """Constants; none is published for Infinity-MM."""

    name: _Name
    version: int = Field(ge=1)
    seed: SeedSet
    min_support: int = Field(ge=1)  #: samples that a leaf needs; below it leans on its group
    max_df: float = Field(gt=0, le=1)  #: a tag that is usual in more of the leaves says nothing
    usual_share: float = Field(ge=0)  #: of the expected count from which on a tag is usual in a leaf
    pmi_shrinkage: float = Field(gt=0)  #: pseudo-counts
    held_out: float = Field(gt=0, lt=1)  #: share of samples that the hit rate is told on
    split_seed: int = Field(ge=0, lt=1 << 32)
    backoff: float = Field(ge=0, le=1)  #: what a group's score counts for its leaves without support
    source: str  #: where the constants come from

    @functools.cached_property
    def hash(self) -> str:
        """32 hex characters of everything that decides."""
        content = self.model_dump(mode="json", exclude={"source"})
        return blake3.blake3(json.dumps(content, sort_keys=True).encode()).hexdigest(length=16)


def load_association_policy(path: Path | None) -> AssociationPolicy:
    """The policy in a file; the package's default if None.

    Raises:
        CatalogueError: if the file is missing or wrong; the message names file, line and field.
    """
    return read_or_refuse(path or DEFAULT, "policy", AssociationPolicy.model_validate)
