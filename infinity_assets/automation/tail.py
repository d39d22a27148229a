"""What Dagster's own automation may do: plan mixes again, which is cheap, and say what has not moved."""

from __future__ import annotations

from typing import Final

import dagster as dg

from infinity_assets.sources.freshness import FAIL_AFTER, WARN_AFTER

#: Assets whose freshness is watched: with ``weekly_full_check`` and ``each_morning`` on, both move once a
#: week at least. Dagster judges an asset as a whole, so this says that something moved, not that everything
#: did; the dashboard's page of health says it of each source.
WATCHED: Final = frozenset({"raw", "quality_snapshot"})
FRESHNESS: Final = dg.FreshnessPolicy.time_window(fail_window=FAIL_AFTER, warn_window=WARN_AFTER)

MIXED: Final = "mixed"

#: A mix that a person once made is planned again when what it reads has other content: not while that is
#: being made, not over a failed blocking check, and never for the first time. Exports are written by a
#: person's word.
PLAN_AGAIN: Final = (
    dg.AutomationCondition.any_deps_match(dg.AutomationCondition.data_version_changed()).since_last_handled()
    & ~dg.AutomationCondition.missing()
    & ~dg.AutomationCondition.any_deps_in_progress()
    & ~dg.AutomationCondition.in_progress()
    & ~dg.AutomationCondition.any_deps_match(
        # Not `all_deps_blocking_checks_passed`: a source that was never scored has no such check.
        dg.AutomationCondition.any_checks_match(dg.AutomationCondition.check_failed(), blocking_only=True)
    )
)


def automated(spec: dg.AssetSpec) -> dg.AssetSpec:
    """The asset with its freshness policy and its condition, if it has any."""
    name = spec.key.to_user_string()
    if name in WATCHED:
        return spec.replace_attributes(freshness_policy=FRESHNESS)
    return spec.replace_attributes(automation_condition=PLAN_AGAIN) if name == MIXED else spec


def mixes_follow() -> dg.AutomationConditionSensorDefinition:
    """The sensor that asks Dagster for it; off at first."""
    return dg.AutomationConditionSensorDefinition(
        "mixes_follow",
        target=dg.AssetSelection.assets(MIXED),
        default_status=dg.DefaultSensorStatus.STOPPED,
        minimum_interval_seconds=300,
        description="Plans a mix again when what it reads has other content. It writes no export.",
    )
