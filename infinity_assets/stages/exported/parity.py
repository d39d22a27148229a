"""Do all formats say the same? Every export of a plan is read back line by line, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Final

from infinity_assets.errors import StoreError
from infinity_assets.quality.audit import MAX_IDS, CheckResult
from infinity_assets.stages.exported.base import ReadBack
from infinity_assets.stages.exported.folders import read_manifest
from infinity_assets.stages.exported.formats import exporter

PARITY_CHECK: Final = "export_parity"
PARITY_PROMISE: Final = "formats of one plan hold the same lines in order, with equal text and pictures"


def export_parity(exports: Mapping[str, Path]) -> CheckResult:
    """Whether the exports hold the same lines, in the same order, with the same text and pictures.

    Text is compared as (user, assistant) pairs, the most that every format can hold; pictures by name, which
    is their hash. Constant memory.

    Args:
        exports: folder of a finished export by format; two or more.

    Returns:
        A blocking result; an export that cannot be read fails it.
    """
    promised = f"the exports {', '.join(sorted(exports))} hold the same lines in the same order"
    lines = failed = 0
    ids: list[str] = []
    problem = ""
    try:
        manifests = {name: read_manifest(folder) for name, folder in sorted(exports.items())}
        if len({m["plan_hash"] for m in manifests.values()}) > 1:
            problem = "they were made from different plans: export all formats again"
        readers = [
            exporter(name).read(folder, [f["file"] for f in manifests[name]["files"]])
            for name, folder in sorted(exports.items())
        ]
        for row in zip_longest(*readers):
            lines += 1
            if _equal(row):
                continue
            failed += 1
            ids += [line.key for line in row if line is not None][:1] if len(ids) < MAX_IDS else []
    except (StoreError, OSError, ValueError, KeyError) as error:
        problem = f"{type(error).__name__}: {error}"
    if failed and not problem:
        problem = f"{failed:,} of {lines:,} lines differ"
    return CheckResult(
        name=PARITY_CHECK,
        table="exported",
        passed=not problem,
        blocking=True,
        description=promised + (f" ({problem})" if problem else ""),
        failed_rows=failed,
        failing_ids=tuple(ids),
        figures={"lines": lines, "formats": len(exports)},
    )


def _equal(row: tuple[ReadBack | None, ...]) -> bool:
    return all(line == row[0] for line in row) and row[0] is not None
