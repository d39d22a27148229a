"""Figures of one snapshot by SQL: SELECT alone, bounded in rows, seconds and memory, and no other file."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import duckdb
import polars as pl

from infinity_assets.errors import StoreError

ROWS: Final = 20_000  #: of one answer: more than a page can show
SECONDS: Final = 10.0  #: that one question may take
MEMORY: Final = "1GB"
OTHER: Final = "other_"  #: begins the views of the snapshot beside it


class Marts:
    """The marts and tables of a snapshot as views of one name each; one object serves several threads.

    Nothing is locked, and nothing can be written: the database lies in memory, may read the folder of the
    snapshot alone, and takes no statement but SELECT.
    """

    def __init__(self, folder: Path, seconds: float = SECONDS, beside: Path | None = None) -> None:
        """Open a snapshot.

        Args:
            folder: of the snapshot.
            seconds: that one question may take.
            beside: folder of another snapshot, whose views are called ``other_<name>``.
        """
        self.folder = folder.absolute()
        self.beside = beside.absolute() if beside else None
        self.seconds = seconds
        self._database = duckdb.connect(config={"memory_limit": MEMORY, "threads": "2", "temp_directory": ""})
        readable = [_quoted(path) for path in (self.folder, self.beside) if path]
        for statement in (
            f"set allowed_directories = [{', '.join(readable)}]",
            "set enable_external_access = false",
            "set python_enable_replacements = false",
            "set lock_configuration = true",
        ):
            self._database.execute(statement)
        self._views: set[str] = set()
        self._lock = threading.Lock()

    def select(
        self, query: str, values: Sequence[Any] = (), *, of: Sequence[str], rows: int = ROWS
    ) -> pl.DataFrame:
        """The answer to a question, its first ``rows`` rows.

        Args:
            query: one SELECT; whatever comes from a user stands in ``values``, never in its text.
            values: of its ``?``.
            of: marts and tables that it names.
            rows: at most.

        Raises:
            StoreError: if it took too long, or the snapshot is gone.
        """
        statements = duckdb.extract_statements(query)
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise ValueError("only one SELECT is answered")
        cursor = self._database.cursor()
        timer = threading.Timer(self.seconds, cursor.interrupt)
        timer.start()
        try:
            self._need(of)
            found = cursor.sql(f"from ({query}) limit {rows:d}", params=list(values))
            return pl.DataFrame(found.pl())
        except duckdb.InterruptException:
            raise StoreError(f"this took longer than {self.seconds:g} s; ask for less") from None
        except duckdb.PermissionException as error:
            raise StoreError(f"{self.folder.name}: nothing but this snapshot is read") from error
        except duckdb.IOException as error:
            raise StoreError(f"{self.folder.name}: this snapshot is gone; load the page again") from error
        finally:
            timer.cancel()
            cursor.close()

    def _need(self, names: Sequence[str]) -> None:
        with self._lock:
            for name in set(names) - self._views:
                there = self.folder
                if self.beside is not None and name.startswith(OTHER):
                    there = self.beside
                table = name.removeprefix(OTHER) if there is self.beside else name
                mart = there / "marts" / f"{table}.parquet"
                path = mart if mart.exists() else there / table / "*.parquet"
                self._database.execute(f'create view "{name}" as from read_parquet({_quoted(path)})')
                self._views.add(name)


def _quoted(path: Path) -> str:
    text = str(path).replace("'", "''")
    return f"'{text}'"
