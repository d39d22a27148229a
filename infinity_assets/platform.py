"""Everything a stage may ask for, in one value: settings, store, catalogue, policy and mixes; no Dagster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from infinity_assets.errors import CatalogueError
from infinity_assets.models.vlm.config import EngineConfig, Engines
from infinity_assets.settings import Settings
from infinity_assets.sources.catalogue import Catalogue, load_catalogue
from infinity_assets.stages.filtered.policy import Policy, load_policy
from infinity_assets.stages.filtered.schema import FILTERED
from infinity_assets.stages.mixed.spec import MixSpec, load_mixes
from infinity_assets.stages.scored.policy import ScoringPolicy, load_scoring_policy
from infinity_assets.stages.synthesized.policy import SynthesisPolicy, load_synthesis_policy
from infinity_assets.stages.synthesized.schema import SYNTHESIZED
from infinity_assets.stages.tag_associations.policy import AssociationPolicy, load_association_policy
from infinity_assets.store.memory import share_arenas, spare_pandas
from infinity_assets.store.tables import Store
from infinity_assets.yaml_file import read_or_refuse


@dataclass(frozen=True)
class Platform:
    """One deployment, opened. Files are read when first asked for."""

    settings: Settings

    def __post_init__(self) -> None:
        spare_pandas()  # before Arrow makes its first array

    @cached_property
    def store(self) -> Store:
        """All tables."""
        share_arenas(2)  # before Lance starts its threads
        return Store(self.settings.store_root)

    @cached_property
    def catalogue(self) -> Catalogue:
        """All sources."""
        return load_catalogue(self.settings.catalogue)

    @cached_property
    def policy(self) -> Policy:
        """What is dropped."""
        return load_policy(self.settings.policy)

    def dropped_later(self, source: str) -> pa.Table:
        """``sample_id`` and ``reason`` of what ``filtered`` drops for a cause that duplicates need not share.

        The ledger comes before ``filtered`` and asks what the last one said: see ``barring`` of the policy.
        """
        found = self.store.published(FILTERED, source) if self.policy.duplicates.barring else None
        columns = ["sample_id", "reason"]
        if found is None:
            return FILTERED.schema.empty_table().select(columns)
        reasons = ", ".join(f"'{reason}'" for reason in self.policy.duplicates.barring)
        dropped = found.read(columns, f"verdict = 'drop' AND reason IN ({reasons})")
        written = self.store.published(SYNTHESIZED, source)  # has no duplicates to give its place to
        if written is None:
            return dropped
        known = written.read(["sample_id"]).column("sample_id").combine_chunks()
        return dropped.filter(pc.invert(pc.is_in(dropped.column("sample_id"), value_set=known)))

    @cached_property
    def mixes(self) -> Mapping[str, MixSpec]:
        """What each training stage asks for."""
        beside = self.settings.catalogue / "mixes.yaml"
        path = self.settings.mixes or (beside if beside.exists() else None)
        return load_mixes(path)

    @cached_property
    def associations(self) -> AssociationPolicy:
        """The seed set of associations, and how they are counted."""
        return load_association_policy(self._beside("associations.yaml"))

    @cached_property
    def synthesis(self) -> SynthesisPolicy:
        """What is asked of which picture, and what is kept of it.

        Raises:
            CatalogueError: if the file is wrong, or names an engine that ``engines.yaml`` does not have.
        """
        policy = load_synthesis_policy(self._beside("synthesis.yaml"))
        for name in policy.engines:
            self.engine(name)
        return policy

    @cached_property
    def scoring(self) -> ScoringPolicy:
        """Which model scores samples."""
        return load_scoring_policy(self._beside("scoring.yaml"))

    @cached_property
    def engines(self) -> Mapping[str, EngineConfig]:
        """Models that can be asked, by name; none without a file ``engines.yaml`` in the catalogue folder.

        Raises:
            CatalogueError: if the file is wrong; the message names line and field.
        """
        path = self._beside("engines.yaml")
        if path is None:
            return {}
        return read_or_refuse(path, "engines", Engines.model_validate).engines

    def engine(self, name: str) -> EngineConfig:
        """The engine of that name.

        Raises:
            CatalogueError: if ``engines.yaml`` has none.
        """
        found = self.engines.get(name)
        if found is None:
            known = ", ".join(self.engines) or "none"
            raise CatalogueError(
                f"no engine {name!r}; engines.yaml beside the source files has: {known}. Describe it there"
            )
        return found

    def _beside(self, name: str) -> Path | None:
        """A file of the catalogue folder, if it is there."""
        path = self.settings.catalogue / name
        return path if path.exists() else None
