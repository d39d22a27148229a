"""What is checked of a source itself whenever its files are listed: warnings, since rows are judged later."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from infinity_assets.quality.audit import MAX_IDS, CheckResult
from infinity_assets.stages.raw.manifest import ManifestDiff
from infinity_assets.stages.raw.schema import RAW

#: Checks of a source, and what each promises.
UPSTREAM_CHECKS: Final = {
    "upstream_files_are_there": "every file of the last version is still there",
    "upstream_files_can_be_read": "every file can be read",
    "upstream_files_keep_their_content": "no file has another content under the revision that it had",
    "licence_permits_use": "the licence of the source is one that the policy lets through",
}
UPSTREAM: Final = "upstream"  #: the one check that they are in Dagster
UPSTREAM_PROMISE: Final = "files are those that were there and can be read, and the licence permits their use"


def upstream_checks(
    changes: ManifestDiff, unreadable: Sequence[str], same_revision: bool, licence: str, refusal: str | None
) -> list[CheckResult]:
    """The outcome of each of ``UPSTREAM_CHECKS``; failing ids are those of files, or the licence.

    Args:
        changes: since the last version.
        unreadable: ids of files that could not be read.
        same_revision: whether the catalogue names the revision that the last version had.
        licence: of the source.
        refusal: the code that the policy has for it, if it has one.
    """
    replaced = changes.changed if same_revision else ()
    names = list(UPSTREAM_CHECKS)
    refused = () if refusal is None else (licence,)
    return [
        _result(names[0], changes.removed, f"{len(changes.removed):,} are gone"),
        _result(names[1], unreadable, f"{len(unreadable):,} cannot be read"),
        _result(names[2], replaced, f"{len(replaced):,} were replaced"),
        _result(names[3], refused, f"{licence} is {refusal} to the policy"),
    ]


def _result(name: str, bad: Sequence[str], found: str) -> CheckResult:
    told = UPSTREAM_CHECKS[name] + (f" ({found})" if bad else "")
    return CheckResult(name, RAW.name, not bad, False, told, len(bad), tuple(bad[:MAX_IDS]))
