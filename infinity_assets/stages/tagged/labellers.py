"""Who files a question under a leaf of the tree: rules, or a model that was asked before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import polars as pl

from infinity_assets.stages.tagged.instructions import INSTRUCTION_VERSION, instruction_leaves, with_levels
from infinity_assets.stages.tagged.taxonomy import Taxonomy
from infinity_assets.store.digests import key_of


class Labeller(Protocol):
    """Files questions under leaves."""

    @property
    def taxonomy(self) -> Taxonomy:
        """The tree."""

    @property
    def label(self) -> str:
        """Name and version, as notes state them."""

    @property
    def hash(self) -> str:
        """Hash of everything that decides which leaf a question gets."""

    def leaves(self, questions: pl.Series, pictured: pl.Series) -> pl.DataFrame:
        """The leaf of each question, with its group and level above.

        Args:
            questions: one text for each, markers taken out; null where there is none.
            pictured: whether there is a picture or a video to ask about; without one there is no leaf.

        Returns:
            String columns ``l1``, ``l2``, ``l3``, one row for each, in order; null where none is known.
        """


@dataclass(frozen=True)
class RuleLabeller:
    """Labels by the rules of :mod:`.instructions`."""

    taxonomy: Taxonomy

    @property
    def label(self) -> str:
        """Name and version."""
        return f"rules@{INSTRUCTION_VERSION}"

    @property
    def hash(self) -> str:
        """See :class:`Labeller`."""
        return key_of("rules", INSTRUCTION_VERSION, self.taxonomy.hash)

    def leaves(self, questions: pl.Series, pictured: pl.Series) -> pl.DataFrame:
        """See :class:`Labeller`."""
        return instruction_leaves(questions, pictured, self.taxonomy)


@dataclass(frozen=True)
class ModelLabeller:
    """Labels that a model gave; a question that it was not asked, or failed at, has none."""

    taxonomy: Taxonomy
    model: str  #: name and revision
    asking: str  #: hash of how it was asked
    known: pl.DataFrame  #: ``question`` and ``leaf``, each question once

    @property
    def label(self) -> str:
        """Name and version."""
        return self.model

    @property
    def hash(self) -> str:
        """See :class:`Labeller`."""
        return key_of("model", self.model, self.asking, self.taxonomy.hash)

    def leaves(self, questions: pl.Series, pictured: pl.Series) -> pl.DataFrame:
        """See :class:`Labeller`."""
        frame = pl.DataFrame({"question": questions.cast(pl.String), "pictured": pictured.cast(pl.Boolean)})
        joined = frame.join(self.known, on="question", how="left", maintain_order="left")
        return with_levels(joined.select(pl.when("pictured").then("leaf")).to_series(), self.taxonomy)
