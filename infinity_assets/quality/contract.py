"""What every published table promises, as data: one YAML file for each table, in ``quality/contracts``.

A column may be a dotted path into structs and lists: ``media.image_id`` is every medium's id.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Annotated, Literal

import blake3
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from infinity_assets.errors import CatalogueError

FOLDER = Path(__file__).parent / "contracts"
Severity = Literal["critical", "warn"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Condition(_Model):
    """Rows that a check is about: a column's value is, or is not, in a set."""

    column: str
    is_in: tuple[str, ...] = ()
    not_in: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _one_of_them(self) -> Condition:
        if bool(self.is_in) == bool(self.not_in):
            raise ValueError("give exactly one of is_in and not_in")
        return self


class _Check(_Model):
    name: str = Field(pattern=r"^[a-z0-9_]+$")
    severity: Severity = "critical"  #: critical: nothing is committed if it fails
    description: str

    @property
    def blocking(self) -> bool:
        """Whether a failure keeps the table from being committed."""
        return self.severity == "critical"

    def paths(self) -> Sequence[str]:
        """Columns or dotted paths that the check reads."""
        return ()


class _ColumnCheck(_Check):
    column: str

    def paths(self) -> Sequence[str]:
        """Columns or dotted paths that the check reads."""
        return (self.column,)


class SchemaCheck(_Check):
    """The staged table has the declared columns, types and order."""

    type: Literal["schema"]


class NotNull(_Check):
    """None of these columns is ever null."""

    type: Literal["not_null"]
    columns: tuple[str, ...] = Field(min_length=1)

    def paths(self) -> Sequence[str]:
        """Columns or dotted paths that the check reads."""
        return self.columns


class Unique(_ColumnCheck):
    """No value of a string column occurs twice."""

    type: Literal["unique"]


class InSet(_ColumnCheck):
    """Every value, if not null, is one of these."""

    type: Literal["in_set"]
    values: tuple[str, ...] = Field(min_length=1)


class Regex(_ColumnCheck):
    """Every value, if not null, matches; anchor the pattern with ``^`` and ``$``. RE2 syntax."""

    type: Literal["regex"]
    pattern: str


class Range(_ColumnCheck):
    """Every value, if not null, is a number within the bounds, both included; NaN never is."""

    type: Literal["range"]
    min: float | None = None
    max: float | None = None


class RequiredWhen(_ColumnCheck):
    """Not null where the condition holds; elsewhere null, or anything."""

    type: Literal["required_when"]
    when: Condition
    otherwise: Literal["null", "any"]

    def paths(self) -> Sequence[str]:
        """Columns or dotted paths that the check reads."""
        return (self.column, self.when.column)


class EqualLength(_Check):
    """Two list columns have equally many values in each row."""

    type: Literal["equal_length"]
    columns: tuple[str, str]

    def paths(self) -> Sequence[str]:
        """Columns or dotted paths that the check reads."""
        return self.columns


class MediaMarkers(_Check):
    """A conversation holds as many ``<image>``, ``<video>`` and ``<audio>`` markers as it has such media.

    Rows without turns (annotation only) are left out.
    """

    type: Literal["media_markers"]
    turns: str = "turns"
    media: str = "media"
    when: Condition

    def paths(self) -> Sequence[str]:
        """Columns or dotted paths that the check reads."""
        return (self.turns, self.media, self.when.column)


class Reference(_ColumnCheck):
    """Every id, if not null, is in the named set of :class:`~infinity_assets.quality.audit.Facts`."""

    type: Literal["reference"]
    to: str


class Conservation(_Check):
    """As many rows as the stage received: in = kept + dropped + quarantined."""

    type: Literal["conservation"]
    verdict: str | None = "verdict"  #: column of verdicts; null for a table without one

    def paths(self) -> Sequence[str]:
        """Columns or dotted paths that the check reads."""
        return (self.verdict,) if self.verdict else ()


#: What a row can say by itself; an engine judges these.
RowCheck = NotNull | InSet | Regex | Range | RequiredWhen | EqualLength | MediaMarkers
Check = Annotated[
    SchemaCheck | RowCheck | Unique | Reference | Conservation,
    Field(discriminator="type"),
]


class DriftLimits(_Model):
    """How far a share may move from one version to the next before a warning, as a fraction of 1."""

    drop_rate: float = Field(default=0.05, gt=0, le=1)  #: share of rows lost to any one reason
    language_share: float = Field(default=0.10, gt=0, le=1)  #: share of any one language
    min_rows: int = Field(default=100, ge=1)  #: smaller partitions only report: their shares jump by chance


class Contract(_Model):
    """The promises of one table."""

    table: str
    version: int = Field(ge=1)
    description: str
    key: str  #: column that names a row in reports
    checks: tuple[Check, ...] = Field(min_length=1)
    drift: DriftLimits | None = None  #: null where shares are not compared with those of the last version

    @model_validator(mode="after")
    def _names_are_unique(self) -> Contract:
        names = [c.name for c in self.checks]
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise ValueError(f"check names occur twice: {', '.join(twice)}")
        return self

    @cached_property
    def hash(self) -> str:
        """32 hex characters of everything that it promises."""
        return blake3.blake3(self.model_dump_json().encode()).hexdigest(length=16)

    def columns(self) -> list[str]:
        """Top-level columns that the checks read, and the key; sorted."""
        paths = {p.partition(".")[0] for c in self.checks for p in c.paths()}
        return sorted(paths | {self.key})


def tables() -> list[str]:
    """Names of the tables that have a contract, sorted."""
    return sorted(p.stem for p in FOLDER.glob("*.yaml"))


@cache
def load_contract(table: str) -> Contract:
    """The contract of a table.

    Raises:
        CatalogueError: if there is none, or its file is wrong; the message names file and field.
    """
    file = "exported" if table.startswith("exported_") else table  # one contract for every format
    if file not in tables():
        raise CatalogueError(f"no contract for table {table!r}; there are: {', '.join(tables())}")
    path = FOLDER / f"{file}.yaml"
    try:
        contract = Contract.model_validate(yaml.safe_load(path.read_text("utf-8")))
    except (yaml.YAMLError, ValidationError) as error:
        raise CatalogueError(f"{path}: {error}") from error
    if contract.table != file:
        raise CatalogueError(f"{path}: names table {contract.table!r}, but the file is {file}.yaml")
    return contract.model_copy(update={"table": table})
