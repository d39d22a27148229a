"""Everything a stage may ask for, in one value: settings, store, catalogue, policy and mixes; no Dagster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from infinity_assets.settings import Settings
from infinity_assets.sources.catalogue import Catalogue, load_catalogue
from infinity_assets.stages.filtered.policy import Policy, load_policy
from infinity_assets.stages.mixed.spec import MixSpec, load_mixes
from infinity_assets.store.tables import Store


@dataclass(frozen=True)
class Platform:
    """One deployment, opened. Files are read when first asked for."""

    settings: Settings

    @cached_property
    def store(self) -> Store:
        """All tables."""
        return Store(self.settings.store_root)

    @cached_property
    def catalogue(self) -> Catalogue:
        """All sources."""
        return load_catalogue(self.settings.catalogue)

    @cached_property
    def policy(self) -> Policy:
        """What is dropped."""
        return load_policy(self.settings.policy)

    @cached_property
    def mixes(self) -> Mapping[str, MixSpec]:
        """What each training stage asks for."""
        beside = self.settings.catalogue / "mixes.yaml"
        path = self.settings.mixes or (beside if beside.exists() else None)
        return load_mixes(path)
