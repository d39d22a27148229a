"""The table of rooms in docs/architecture.md, held against every import of the package."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "infinity_assets"

#: Stages in the order of the pipeline; ``images`` and ``unified`` are published by one function.
STAGES = (
    ("raw",),
    ("images", "unified"),
    ("duplicate_ledger",),
    ("deduped",),
    ("tagged",),
    ("tag_associations",),
    ("synthesized",),
    ("scored",),
    ("benchmark_fingerprints",),
    ("filtered",),
    ("mixed",),
    ("exported",),
)
RANK = {name: rank for rank, names in enumerate(STAGES) for name in names}


def rooms() -> dict[str, set[str]]:
    """Room -> what it may import, as the page says."""
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    section = page.split("## Rooms", 1)[1].split("\n## ", 1)[0]
    found: dict[str, set[str]] = {}
    for line in section.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.startswith("| `") and len(cells) == 3:
            allowed = set(re.findall(r"`([^`]+)`", cells[2]))
            found |= dict.fromkeys(re.findall(r"`([^`]+)`", cells[0]), allowed)
    return found


ROOMS = rooms()


def room_of(path: Path) -> str:
    """The row of the table that a module of the package belongs to."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    if parts[0] != "stages":
        return "/".join(parts) if "/".join(parts) in ROOMS else parts[0]
    if len(parts) == 2:
        return "stages" if parts[1] == "__init__" else f"stages/{parts[1]}"
    return "stages/*/asset" if parts[-1] == "asset" else "stages/*"


def target_of(module: str) -> str:
    """The row that an imported module belongs to; ``stages/<name>`` for a module of a stage."""
    parts = module.split(".")[1:]
    if parts[:1] != ["stages"]:
        return parts[0] if parts else "infinity_assets"
    return f"stages/{parts[1]}" if len(parts) > 1 else "stages"


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of each import of this package or of Dagster, wherever in the module it stands."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            is_package = (ROOT / node.module.replace(".", "/")).is_dir()
            names = [f"{node.module}.{a.name}" if is_package else node.module for a in node.names]
        else:
            continue
        yield from ((node.lineno, n) for n in names if n.split(".")[0] in {"infinity_assets", "dagster"})


def violations() -> Iterator[str]:
    for path in sorted(PACKAGE.rglob("*.py")):
        room, where = room_of(path), path.relative_to(ROOT)
        if path.name == "__init__.py" and room in {"__init__", "stages"}:
            continue
        if room not in ROOMS:
            yield f"{where}: the room {room!r} is not in the table"
            continue
        own = path.relative_to(PACKAGE / "stages").parts[0] if room.startswith("stages/*") else None
        for line, module in imports(path):
            target = "dagster" if module.split(".")[0] == "dagster" else target_of(module)
            if target != room.split("/")[0] and not allowed(target, ROOMS[room], own):
                yield f"{where}:{line}: {room} may not import {module}"


def allowed(target: str, granted: set[str], own: str | None) -> bool:
    """Whether a row of the table grants an import."""
    if target in granted or target == "errors":
        return True
    stage = target.removeprefix("stages/")
    if own is None or stage == target:
        return target.startswith("stages/") and "stages" in granted
    return stage in RANK and RANK[stage] <= RANK[own]


def test_no_room_reaches_into_one_it_must_not_know():
    """Lost otherwise: stages that can be tested, moved and read without Dagster and without later stages."""
    assert len(ROOMS) > 15, "the table of docs/architecture.md was not found"
    assert not list(violations())


def test_every_stage_has_a_rank_and_every_row_a_room():
    """Lost otherwise: a new stage outside of the rule, or a table that speaks of rooms that are gone."""
    there = {p.name for p in (PACKAGE / "stages").iterdir() if (p / "stage.py").exists()}
    assert there | {"images"} == set(RANK)
    present = {room_of(p) for p in PACKAGE.rglob("*.py")}
    assert set(ROOMS) <= present


def test_only_filtered_reads_the_fingerprints_of_benchmarks():
    """Lost otherwise: a sampler or generator that leans towards the test, which no later check would see."""
    module = "infinity_assets.stages.benchmark_fingerprints"
    assets = f"{module}.asset"
    rooms_of_it = {"stages/benchmark_fingerprints", "stages/filtered"}
    told = {
        "definitions.py",
        "automation/benchmarks.py",
        "lineage/columns.py",
    }  # versions and columns; no row
    for path in sorted(PACKAGE.rglob("*.py")):
        where = path.relative_to(PACKAGE)
        if where.parts[:2] in {tuple(room.split("/")) for room in rooms_of_it}:
            continue
        found = {name for _, name in imports(path) if name.startswith(module)}
        if str(where) in told:
            assert found <= {assets, f"{module}.schema"}, where
        else:
            assert not found, where
    # Later stages may ask whether something was found, and nothing more of the room that reads them.
    asked = "infinity_assets.stages.filtered.contamination"
    for path in sorted((PACKAGE / "stages").rglob("*.py")):
        if path.relative_to(PACKAGE / "stages").parts[0] not in {"filtered", "benchmark_fingerprints"}:
            found = {name for _, name in imports(path) if name.startswith(asked)}
            assert found <= {f"{asked}.check"}, path


@pytest.mark.parametrize(
    "modules",
    ["infinity_assets.sharding.worker, infinity_assets.stages.unified.draft", "infinity_assets.preview.app"],
)
def test_workers_and_sample_pages_start_without_dagster(modules):
    """Lost otherwise: seconds for each worker, and a server of samples that drags the scheduler along."""
    code = f"import sys, {modules}; sys.exit('dagster' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
