"""What the conversations of a source are made from, and whether the published ones still follow from it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import cached_property
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa

from infinity_assets.errors import StoreError
from infinity_assets.stages.images.schema import IMAGES
from infinity_assets.stages.synthesized.facts import TAGGED_COLUMNS, UNIFIED_COLUMNS, Facts, collect_facts
from infinity_assets.stages.synthesized.lines import LINES_VERSION
from infinity_assets.stages.synthesized.merge import MERGE_VERSION
from infinity_assets.stages.synthesized.plan import PLAN_VERSION, plan_lines, suits
from infinity_assets.stages.synthesized.rules import RULES_VERSION
from infinity_assets.stages.synthesized.writers import ModelWriter, RulesWriter, Writer
from infinity_assets.stages.tag_associations.schema import TAG_ASSOCIATIONS, WHOLE
from infinity_assets.stages.tagged.schema import TAGGED
from infinity_assets.stages.tagged.stage import kept_rows, require_parallel
from infinity_assets.stages.tagged.taxonomy import load_taxonomy
from infinity_assets.stages.unified.schema import UNIFIED
from infinity_assets.stages.verdicts import KEEP
from infinity_assets.store.digests import key_of
from infinity_assets.store.tables import Published, Store

if TYPE_CHECKING:
    from infinity_assets.platform import Platform


class Inputs:
    """Tables, policy and models of one source, as they are now."""

    def __init__(self, platform: Platform, source: str, opened: ExitStack) -> None:
        """``opened`` closes the engines, which open when something is to be asked.

        Raises:
            StoreError: if ``unified``, ``images`` or ``tagged`` was never published, or do not fit together.
            CatalogueError: if the policy, a prompt or an engine is wrong.
        """
        store, policy = platform.store, platform.synthesis
        self._platform, self._source = platform, source
        self.taxonomy = load_taxonomy()
        self.unified = store.require(UNIFIED, source)
        self.tagged = store.require(TAGGED, source)
        self.images = store.require(IMAGES, source)
        self.associations = store.published(TAG_ASSOCIATIONS, WHOLE)
        require_parallel(self.unified, self.tagged)
        self.versions = {t.table.name: t.data_version for t in (self.unified, self.tagged, self.images)}
        if self.associations is not None:
            self.versions[TAG_ASSOCIATIONS.name] = self.associations.data_version
        category = platform.catalogue[source].spec.category
        self.takes_part = category != "evaluation" and policy.lines_per_picture > 0
        self._models = None
        if not policy.by_rules:
            self._models = ModelWriter(platform, self.images, self.associations, self.taxonomy, opened)

    @cached_property
    def made_from(self) -> str:
        """32 hex characters of all that decides what the tables hold."""
        policy = self._platform.synthesis
        writer = (RULES_VERSION, policy.seed) if self._models is None else self._models.made_by
        return key_of(
            (PLAN_VERSION, LINES_VERSION, MERGE_VERSION),
            writer,
            self.taxonomy.hash,
            (policy.planning, policy.keeping, policy.merging, policy.budget),
            self._platform.associations.backoff,
            self.takes_part,
            sorted(self.versions.items()),
        )

    def writer(self, facts: Sequence[Facts]) -> Writer:
        """Who writes about these pictures."""
        if self._models is not None:
            return self._models
        labels = sorted({box.label for fact in facts for box in fact.boxes})
        return RulesWriter(self._platform.synthesis.seed, labels)

    def facts(self) -> list[Facts]:
        """What is known of the pictures; none where the source takes no part."""
        if not self.takes_part:
            return []
        samples, tags = [], []
        for mine, theirs in zip(self.unified.shards, self.tagged.shards, strict=True):
            found = self.tagged.read_shard(theirs, TAGGED_COLUMNS)
            samples.append(kept_rows(self.unified, mine, found, UNIFIED_COLUMNS))
            tags.append(found)
        if not samples:
            return []
        shown = self.images.read(["image_id", "width", "height"], f"verdict = '{KEEP}'")
        images = pl.DataFrame(pl.from_arrow(shown))
        return collect_facts(pa.concat_tables(samples), pa.concat_tables(tags), images)

    def plan(self, facts: Sequence[Facts], writer: Writer) -> pa.Table:
        """Rows of ``synthesis_plan``."""
        associated = TAG_ASSOCIATIONS.schema.empty_table()
        if self.associations is not None and facts:
            associated = self.associations.read()
        weights = suits(associated, self.taxonomy, self._platform.associations.backoff)
        possible = [writer.possible(fact) for fact in facts]
        policy = self._platform.synthesis
        return plan_lines(self._source, facts, possible, weights, self.taxonomy, policy, writer.examples)

    @property
    def currency(self) -> str | None:
        """Of the models' prices; null by rules."""
        return None if self._models is None else self._models.voices.currency

    @property
    def noted(self) -> dict[str, Any] | None:
        """What was noted when the tables were last made; None if they never were."""
        return _noted(self._platform.store, self._source)

    def note(self, tables: Mapping[str, str | None], passing: int) -> None:
        """Note from what the tables were made.

        Args:
            tables: their data versions.
            passing: lines at which an engine failed: as long as there are any, the tables are not settled.
        """
        self._platform.store.objects.put(
            _note(self._source), json.dumps(self.state(tables, passing)).encode()
        )

    def state(self, tables: Mapping[str, str | None], passing: int = 0) -> dict[str, Any]:
        """What :meth:`note` writes."""
        return {
            "made_from": self.made_from,
            "inputs": _moving(self.tagged, self.associations),
            "passing": passing,
            "tables": dict(tables),
        }


def behind(platform: Platform, source: str) -> bool:
    """Whether a source's conversations would be others by now, or lines wait to be asked about again."""
    if platform.store.published(TAGGED, source) is None:
        return False
    with ExitStack() as opened:
        try:
            read = Inputs(platform, source, opened)
        except StoreError:
            return True  # the step will say what is missing
        noted = read.noted or {}
        return (noted.get("made_from"), noted.get("passing")) != (read.made_from, 0)


def moved(platform: Platform, source: str) -> str | None:
    """What to call the tags and associations that a source's conversations do not follow from.

    None where they do, and where there are no conversations: the first ones are a person's decision, and so
    is what another policy, prompt or model would write.
    """
    tagged, noted = platform.store.published(TAGGED, source), _noted(platform.store, source)
    if tagged is None or noted is None:
        return None
    now = _moving(tagged, platform.store.published(TAG_ASSOCIATIONS, WHOLE))
    return None if noted["inputs"] == now else f"{source}/synthesis/{key_of(sorted(now.items()))}"


def _moving(tagged: Published, associations: Published | None) -> dict[str, str]:
    tables = (tagged,) if associations is None else (tagged, associations)
    return {table.table.name: table.data_version for table in tables}


def _noted(store: Store, source: str) -> dict[str, Any] | None:
    found = store.objects.get(_note(source))
    return None if found is None else dict(json.loads(found))


def _note(source: str) -> str:
    return f"_synthesis/{source}.json"
