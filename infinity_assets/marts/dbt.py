"""Runs the dbt project over a snapshot, in a process and an environment of its own, and reads what it says.

dbt pins libraries that the platform's own environment has in other versions, so it is a program here, not an
import. It gets the folder of one snapshot and nothing else: no network, no credentials, no call home. Where
there is none, :mod:`infinity_assets.marts.plain` runs the same files.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import blake3
import polars as pl
import pyarrow.parquet as pq
import yaml

from infinity_assets.errors import CatalogueError, StoreError
from infinity_assets.marts.told import SMALL

PROJECT: Final = Path(__file__).parents[2] / "dbt_quality"
#: Where `make quality` puts dbt in a checkout.
BUILT: Final = PROJECT.parent / ".envs" / "quality" / "bin" / "dbt"
PASSED_ON: Final = ("PATH", "HOME", "LANG", "TMPDIR", "INFINITY_DBT_MEMORY")
OF_SOURCES: Final = "sources.yml"


@dataclass(frozen=True, slots=True)
class Promise:
    """A test of the project, as its files describe it; dbt is not needed to know it."""

    name: str
    description: str
    stage: str  #: whose rows it is about
    warns: bool  #: a person should look; nothing is broken
    of_source: bool  #: of a table of the snapshot as it lies there, not across tables


@cache
def promises() -> tuple[Promise, ...]:
    """All tests, by name.

    Raises:
        CatalogueError: if the project is not where this package was installed.
    """
    if not (PROJECT / "dbt_project.yml").exists():
        raise CatalogueError(f"{PROJECT}: the dbt project is missing; install the whole of infinity-assets")
    found = []
    for table in _yaml(PROJECT / "models" / OF_SOURCES)["sources"][0]["tables"]:
        for column in table.get("columns", []):
            found += [(spec, True) for test in column["data_tests"] for spec in test.values()]
    found += [(spec, False) for spec in _yaml(PROJECT / "tests" / "tests.yml")["data_tests"]]
    told = [
        Promise(
            spec["name"],
            spec["description"],
            spec["config"]["meta"]["stage"],
            spec["config"]["meta"]["severity"] == "warn",
            of_source,
        )
        for spec, of_source in found
    ]
    return tuple(sorted(told, key=lambda promise: promise.name))


def project_hash() -> str:
    """32 hex characters of every file that determines marts, tests and page."""
    hasher = blake3.blake3()
    for root, kinds in ((PROJECT, {".sql", ".yml"}), (Path(__file__).parent, {".py", ".html", ".css"})):
        for path in sorted(p for p in root.rglob("*") if p.suffix in kinds):
            hasher.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes() + b"\0")
    return hasher.hexdigest(length=16)


def find_dbt(named: Path | None) -> Path | None:
    """The program; None if there is none, where the project's files are run without it.

    Args:
        named: what the settings name; looked for beside this Python, on the path, and where `make quality`
            builds it otherwise.

    Raises:
        CatalogueError: if what is named is no program; the message says how to get it.
    """
    beside = Path(sys.executable).parent / "dbt"
    on_path = shutil.which("dbt")
    tried = [named] if named else [beside, *([Path(on_path)] if on_path else []), BUILT]
    for path in tried:
        if path.is_file() and os.access(path, os.X_OK):
            return path.absolute()
    if named is None:
        return None
    raise CatalogueError(
        f"{named} is no program: run `make quality`, or install infinity-assets[quality] into an environment"
        " of its own and name its dbt in INFINITY_DBT"
    )


def build_marts(dbt: Path | None, snapshot: Path, number: int, workers: int) -> list[dict[str, Any]]:
    """Build every mart and run every test; marts lie under ``marts`` of the snapshot then.

    Args:
        dbt: the program; the same files are run in this process where it is None.
        snapshot: folder of a snapshot that nobody reads yet.
        number: of the snapshot.
        workers: threads of the database.

    Returns:
        One row of ``checks`` for each test, a failed one with up to 20 ids. ``check_results`` among the marts
        has them too, behind all older results.

    Raises:
        StoreError: if a model or a test did not run, with what was said.
    """
    scratch = snapshot / "scratch"
    for folder in (snapshot / "marts", scratch / "failures"):
        folder.mkdir(parents=True)
    if dbt is None:
        found: Mapping[str, Mapping[str, Any]]
        from infinity_assets.marts.plain import build_plainly  # DuckDB, which the code location does without

        found = build_plainly(PROJECT, snapshot, scratch / "failures", workers)
    else:
        found = _by_dbt(dbt, snapshot, scratch, workers)
    rows = _outcomes(found, scratch / "failures", number)
    older = pq.read_table(snapshot / "checks" / "all.parquet")
    new = pl.DataFrame(rows, schema=pl.DataFrame(pl.from_arrow(SMALL["checks"].empty_table())).schema)
    both = pl.concat([pl.DataFrame(pl.from_arrow(older)), new])
    both.write_parquet(snapshot / "marts" / "check_results.parquet")
    shutil.rmtree(scratch)
    return rows


def _by_dbt(dbt: Path, snapshot: Path, scratch: Path, workers: int) -> dict[str, Mapping[str, Any]]:
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    environment |= {"INFINITY_SNAPSHOT": str(snapshot), "INFINITY_WORKERS": str(workers)}
    environment |= {"DBT_SEND_ANONYMOUS_USAGE_STATS": "false", "PYTHONDONTWRITEBYTECODE": "1"}
    folders = ["--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT)]
    folders += ["--target-path", str(scratch / "target"), "--log-path", str(scratch / "logs")]
    done = subprocess.run(
        [str(dbt), "--no-version-check", "build", *folders],
        env=environment,
        cwd=scratch,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    results = scratch / "target" / "run_results.json"
    if not results.exists():
        raise StoreError(f"{dbt} ended with {done.returncode}: {done.stdout[-2000:]}")
    told = json.loads(results.read_text("utf-8"))["results"]
    broken = [r for r in told if r["status"] in {"error", "skipped", "runtime error"}]
    if broken:
        lines = "; ".join(f"{r['unique_id']}: {r['message'] or r['status']}" for r in broken[:5])
        raise StoreError(f"dbt could not build the marts: {lines}")
    return {r["unique_id"].split(".")[2]: r for r in told}


def _outcomes(results: Mapping[str, Mapping[str, Any]], failures: Path, number: int) -> list[dict[str, Any]]:
    rows = []
    for promise in promises():
        result = results.get(promise.name)
        if result is None:
            raise StoreError(f"nothing ran the test {promise.name}")
        passed = result["status"] == "pass"
        failed = int(result["failures"] or 0)
        partition, ids = _examples(failures / f"{promise.name}.parquet")
        at_least = "at least " if failed >= 1000 else ""
        found = "" if passed else f" ({at_least}{failed:,} rows break it)"
        rows.append(
            {
                "engine": "dbt",
                "stage": promise.stage,
                "partition": partition,
                "name": promise.name,
                "run_id": None,
                "checked_at": None,
                "number": number,
                "blocking": not promise.warns,
                "passed": passed,
                "failed_rows": failed,
                "failing_ids": ids,
                "told": promise.description + found,
            }
        )
    return rows


def _examples(path: Path) -> tuple[str | None, list[str]]:
    """The first failing partition, and ids of failing rows."""
    if not path.exists():
        return None, []
    rows = pl.read_parquet(path)
    key = next((name for name in ("sample_id", "line_id", "image_id") if name in rows.columns), None)
    places = ("partition", "source", "training_stage")
    partition = next((name for name in places if name in rows.columns), None)
    ids = rows[key].drop_nulls().unique(maintain_order=True).to_list() if key else []
    return (str(rows[partition][0]) if partition else None), [str(i) for i in ids]


def _yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text("utf-8"))
