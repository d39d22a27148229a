"""Runs the files of the dbt project without dbt: the same SQL, in this process, where no dbt is installed.

It knows what these files use of dbt and nothing more: ``source``, ``ref``, macros, generic tests of columns.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import duckdb
import yaml
from jinja2 import Environment, StrictUndefined

from infinity_assets.errors import StoreError

#: As the project's files say to dbt: rows of a failure that are looked at, and those that are kept of it.
LOOKED_AT: Final = 1000
KEPT: Final = 20

_REF: Final = re.compile(r"ref\('(\w+)'\)")


def build_plainly(project: Path, snapshot: Path, failures: Path, workers: int) -> dict[str, dict[str, Any]]:
    """Every mart as ``marts/<name>.parquet`` of the snapshot, and what each test found.

    Args:
        project: folder of the project.
        snapshot: folder of a snapshot; its marts' folder exists.
        failures: folder for rows that failed, ``<test>.parquet``.
        workers: threads.

    Returns:
        By the name of a test, ``status`` (pass or warn) and ``failures`` (rows, at most ``LOOKED_AT``).

    Raises:
        StoreError: if a model or a test does not run, with its name and why.
    """
    environment = _environment(project, snapshot)
    spill = str(failures.parent / "spill")
    settings: dict[str, str | bool | int | float | list[str]]
    memory = os.environ.get("INFINITY_DBT_MEMORY", "4GB")  # as profiles.yml has it
    settings = {"threads": workers, "memory_limit": memory, "temp_directory": spill}
    settings["preserve_insertion_order"] = False
    database = duckdb.connect(config=settings)
    told = {}
    try:
        for name, query in _models(project, environment):
            _run(database, name, f'create table "{name}" as {query}')
            path = _quoted(snapshot / "marts" / f"{name}.parquet")
            _run(database, name, f'copy "{name}" to {path} (format parquet, compression zstd)')
        for name, query in _tests(project, snapshot, environment):
            _run(database, name, f"create or replace temp table failed as from ({query}) limit {LOOKED_AT}")
            found = database.execute("select count(*) from failed").fetchone()
            count = int(found[0]) if found else 0
            if count:
                path = _quoted(failures / f"{name}.parquet")
                _run(database, name, f"copy (from failed limit {KEPT}) to {path} (format parquet)")
            told[name] = {"status": "warn" if count else "pass", "failures": count}
    finally:
        database.close()
    return told


def _models(project: Path, environment: Environment) -> Iterator[tuple[str, str]]:
    """Name and SQL of each model, those that others read first."""
    texts = {path.stem: path.read_text("utf-8") for path in sorted((project / "models").glob("*.sql"))}
    done: set[str] = set()
    while len(done) < len(texts):
        ready = [n for n in texts if n not in done and set(_REF.findall(texts[n])) <= done]
        if not ready:
            raise StoreError(f"{project}: models read each other: {', '.join(sorted(set(texts) - done))}")
        for name in ready:
            yield name, environment.from_string(texts[name]).render()
        done |= set(ready)


def _tests(project: Path, snapshot: Path, environment: Environment) -> Iterator[tuple[str, str]]:
    for path in sorted((project / "tests").glob("*.sql")):
        yield path.stem, environment.from_string(path.read_text("utf-8")).render()
    tables = yaml.safe_load((project / "models" / "sources.yml").read_text("utf-8"))["sources"][0]["tables"]
    for table in tables:
        for column in table.get("columns", []):
            for test in column["data_tests"]:
                for kind, spec in test.items():
                    macro: Any = environment.globals[f"test_{kind}"]
                    model = _table(snapshot, table["name"])
                    yield spec["name"], str(macro(model, column["name"], **spec.get("arguments", {})))


def _environment(project: Path, snapshot: Path) -> Environment:
    """What a file of the project may call; its macros and generic tests among it."""
    environment = Environment(undefined=StrictUndefined, autoescape=False, extensions=["jinja2.ext.do"])
    environment.globals |= {
        "source": lambda _, name: _table(snapshot, name),
        "ref": lambda name: f'"{name}"',
    }
    for path in sorted((project / "macros").glob("*.sql")):
        text = path.read_text("utf-8").replace("endtest", "endmacro")
        text = re.sub(r"{%\s*test\s+", "{% macro test_", text)
        module: Mapping[str, Any] = vars(environment.from_string(text).module)
        environment.globals |= {name: value for name, value in module.items() if not name.startswith("_")}
    return environment


def _run(database: duckdb.DuckDBPyConnection, name: str, statement: str) -> None:
    try:
        database.execute(statement)
    except duckdb.Error as error:
        raise StoreError(f"{name} of the dbt project does not run: {error}") from error


def _table(snapshot: Path, name: str) -> str:
    return f"read_parquet({_quoted(snapshot / name / '*.parquet')})"


def _quoted(path: Path) -> str:
    text = str(path).replace("'", "''")
    return f"'{text}'"
