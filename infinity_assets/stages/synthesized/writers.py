"""Who writes the lines of a source: rules or models, behind one interface."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import ExitStack
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from infinity_assets.errors import CatalogueError
from infinity_assets.models.vlm.loss import LOSS_PROMPT
from infinity_assets.stages.images.stored import StoredPictures
from infinity_assets.stages.synthesized.asking import ASKING_VERSION, Asker
from infinity_assets.stages.synthesized.examples import SeedSet
from infinity_assets.stages.synthesized.facts import Facts
from infinity_assets.stages.synthesized.generate import Written, write_by_model
from infinity_assets.stages.synthesized.lines import write_by_rules
from infinity_assets.stages.synthesized.prompt_files import load_prompts
from infinity_assets.stages.synthesized.rules import RULES_VERSION, possible_leaves
from infinity_assets.stages.synthesized.seeds import SEEDS_VERSION
from infinity_assets.stages.synthesized.voices import OpenVoices
from infinity_assets.stages.tagged.sending import SENDING_VERSION, read_to_send
from infinity_assets.stages.tagged.taxonomy import Taxonomy
from infinity_assets.store.digests import key_of
from infinity_assets.store.tables import Published

if TYPE_CHECKING:
    from infinity_assets.platform import Platform


class Writer(Protocol):
    """Writes, checks and judges planned lines."""

    together: int  #: shards that are written at once

    @property
    def made_by(self) -> str:
        """32 hex characters of all that decides about a line beside plan, facts and thresholds."""

    def possible(self, facts: Facts) -> AbstractSet[str]:
        """The leaves that it can ask about a picture."""

    def examples(self, facts: Facts, leaf: str) -> Sequence[str]:
        """Ids of the samples that it wants as examples."""

    def write(self, plan: Sequence[Mapping[str, Any]], facts: Mapping[str, Facts]) -> Written:
        """The lines of a part of the plan."""


class RulesWriter:
    """Questions and answers that follow from annotations: no model, no cost."""

    together = 1

    def __init__(self, seed: int, labels: Sequence[str]) -> None:
        """``labels``: of all pictures of the source, sorted; what may be asked for and not be there."""
        self._seed, self._labels = seed, labels

    @property
    def made_by(self) -> str:
        """See :class:`Writer`."""
        return key_of("rules", RULES_VERSION, self._seed, self._labels)

    def possible(self, facts: Facts) -> AbstractSet[str]:
        """See :class:`Writer`."""
        return possible_leaves(facts, self._labels)

    def examples(self, facts: Facts, leaf: str) -> Sequence[str]:
        """None: rules need no example."""
        return ()

    def write(self, plan: Sequence[Mapping[str, Any]], facts: Mapping[str, Facts]) -> Written:
        """See :class:`Writer`."""
        return Written(write_by_rules(plan, facts, self._labels, self._seed), [()] * len(plan))


class ModelWriter:
    """The models that ``synthesis.yaml`` names."""

    together = 8  # each step waits for its slowest request: over more lines a GPU idles less (our choice)

    def __init__(
        self,
        platform: Platform,
        images: Published,
        associations: Published | None,
        taxonomy: Taxonomy,
        opened: ExitStack,
    ) -> None:
        """``opened`` closes the engines.

        Raises:
            CatalogueError: if the policy asks for a leaf that the tree does not have, or a prompt is wrong.
        """
        self._platform, self._policy, self._taxonomy = platform, platform.synthesis, taxonomy
        self._images, self._associations = images, associations
        self._prompts = load_prompts(self._policy.language, self._policy.prompts)
        self.voices = OpenVoices(platform, opened)
        asked = self._policy.leaves or tuple(taxonomy.leaves)
        unknown = [leaf for leaf in asked if leaf not in taxonomy.leaves]
        if unknown:
            raise CatalogueError(f"synthesis.yaml: leaves: {taxonomy.label} has no leaf {unknown[0]!r}")
        self._leaves = frozenset(asked)

    @property
    def made_by(self) -> str:
        """See :class:`Writer`."""
        models = [self.voices.model(role) for role in ("writer", "judge", "scorer")]
        versions = (ASKING_VERSION, SENDING_VERSION, SEEDS_VERSION, LOSS_PROMPT)
        sampling = self._policy.sampling.model_dump()
        return key_of(
            "models", versions, models, self._prompts.hash, sorted(sampling.items()), self._policy.seed
        )

    def possible(self, facts: Facts) -> AbstractSet[str]:
        """All that the policy asks for: whether a question fits its picture is a verdict of the model."""
        return self._leaves

    def examples(self, facts: Facts, leaf: str) -> Sequence[str]:
        """See :class:`Writer`."""
        return self._seeds.nearest(facts, leaf, self._policy.shots) if self._policy.shots else ()

    def write(self, plan: Sequence[Mapping[str, Any]], facts: Mapping[str, Facts]) -> Written:
        """See :class:`Writer`.

        Raises:
            EngineError: an engine as a whole does not work. What was answered is kept.
        """
        return write_by_model(
            plan,
            facts,
            lambda ids: read_to_send(self._stored, ids),
            self._seeds.shots,
            Asker(self._prompts, self._policy),
            self.voices,
            self._taxonomy,
            self._policy,
        )

    @cached_property
    def _stored(self) -> StoredPictures:
        return StoredPictures(self._images)

    @cached_property
    def _seeds(self) -> SeedSet:
        return SeedSet(self._platform.store, self._associations)
