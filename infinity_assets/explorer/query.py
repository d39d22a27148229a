"""What is asked of the explorer, as its address says it, and the Lance filter that it becomes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final
from urllib.parse import urlencode

from infinity_assets.errors import InfinityError
from infinity_assets.explorer.schema import STAGES
from infinity_assets.lineage.ids import SAMPLE_ID
from infinity_assets.sources.model import SOURCE_NAME
from infinity_assets.stages.verdicts import DROP, KEEP, QUARANTINE

NOT_KEPT: Final = "not_kept"  #: dropped or quarantined
NONE: Final = "none"  #: stands for a value that a sample does not have
NO_TAG: Final = "(no tag)"  #: the same of tags, as the mart of coverage has it
MAX_PAGE: Final = 200
MAX_VALUE: Final = 200  #: characters of one parameter

_CODE: Final = re.compile(r"[a-z0-9_]{1,64}")
_PATTERNS: Final[Mapping[str, re.Pattern[str]]] = {
    "source": SOURCE_NAME,
    "stage": _CODE,
    "verdict": re.compile(r"keep|drop|quarantine|not_kept"),
    "reason": _CODE,
    "finding": _CODE,
    "question_type": _CODE,
    "check": _CODE,
    "near": SAMPLE_ID,
    "compare": re.compile(r"1"),
}


class BadQuery(InfinityError):
    """An address that asks for what cannot be; the message says which part."""


@dataclass(frozen=True, slots=True)
class Query:
    """One view. Its address reproduces it: there is no other state."""

    source: str = ""
    stage: str = ""  #: verdict and reason are that stage's where one is named, else the sample's last word
    verdict: str = ""
    reason: str = ""
    finding: str = ""  #: a rule that it fails, with or without being dropped
    tag: str = ""
    question_type: str = ""
    language: str = ""
    licence: str = ""
    check: str = ""  #: rows that failed it when it last ran
    text: str = ""  #: words that all stand in the conversation
    near: str = ""  #: a sample; the others come in the order of likeness
    compare: str = ""  #: 1: kept beside not kept
    page: int = 0

    @classmethod
    def parse(cls, given: Mapping[str, str]) -> Query:
        """From the parameters of an address; unknown ones are refused, empty ones are left out.

        Raises:
            BadQuery: on a parameter that there is not, or a value that cannot be.
        """
        known = {field.name for field in fields(cls)}
        values: dict[str, Any] = {}
        for name, value in given.items():
            if name not in known:
                raise BadQuery(
                    f"the explorer has no parameter of that name; it has {', '.join(sorted(known))}"
                )
            if name == "page":
                if not (value.isascii() and value.isdigit() and len(value) < 5 and int(value) <= MAX_PAGE):
                    raise BadQuery(f"pages go from 0 to {MAX_PAGE}")
                values[name] = int(value)
            elif value:
                _check(name, value)
                values[name] = value
        return cls(**values)

    def but(self, **changes: Any) -> Query:
        """Another view, from its first page."""
        return replace(self, **{"page": 0, **changes})

    @property
    def address(self) -> str:
        """Its query string; empty for the view of everything."""
        told = {field.name: getattr(self, field.name) for field in fields(self)}
        return urlencode({name: value for name, value in told.items() if value})

    @property
    def filter(self) -> str | None:
        """The Lance filter of all that columns can say; None where everything matches."""
        tests = [*self._decided()]
        if self.finding:
            tests.append(f"array_has(findings, {quoted(self.finding)})")
        if self.tag:
            none = self.tag in {NO_TAG, NONE}
            tests.append("array_length(tags) = 0" if none else f"array_has(tags, {quoted(self.tag)})")
        for name in ("question_type", "language", "licence"):
            value = getattr(self, name)
            if value:
                tests.append(f"{name} IS NULL" if value == NONE else f"{name} = {quoted(value)}")
        return " AND ".join(tests) or None

    def _decided(self) -> list[str]:
        if not self.stage:
            tests = [f"reason = {quoted(self.reason)}"] if self.reason else []
            if self.verdict == NOT_KEPT:
                return [*tests, f"verdict <> {quoted(KEEP)}"]
            return [*tests, f"verdict = {quoted(self.verdict)}"] if self.verdict else tests
        if self.stage not in STAGES:  # such rows are found by id
            return []
        said = [f"{self.stage} {v}" for v in (self.verdict, self.reason) if v and v != NOT_KEPT]
        tests = [f"array_has(history, {quoted(token)})" for token in said or [self.stage]]
        if self.verdict == NOT_KEPT:
            either = ", ".join(quoted(f"{self.stage} {verdict}") for verdict in (DROP, QUARANTINE))
            tests.append(f"array_has_any(history, [{either}])")
        return tests


def _check(name: str, value: str) -> None:
    if len(value) > MAX_VALUE or not value.isprintable():
        raise BadQuery(f"{name}: at most {MAX_VALUE} printable characters")
    pattern = _PATTERNS.get(name)
    if pattern is not None and pattern.fullmatch(value) is None:
        raise BadQuery(f"{name}: no such {name.replace('_', ' ')}")


def quoted(value: str) -> str:
    """A value as a string of Lance's filters, in which nothing but the quote has a meaning."""
    return "'" + value.replace("'", "''") + "'"
