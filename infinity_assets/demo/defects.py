"""What is broken on purpose, what should catch it, and how well a run did: one table of kinds and a score."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import polars as pl

CaughtBy = Literal["now", "near", "contamination"]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of defect: the stage that should speak, its verdict, and the reason codes that count."""

    stage: str
    verdict: str
    reasons: tuple[str, ...]
    caught_by: CaughtBy = "now"


#: The only place that knows reason codes of the stages.
KINDS: Mapping[str, Kind] = {
    "exact_duplicate": Kind("deduped", "drop", ("exact_pair",)),
    "near_duplicate": Kind("deduped", "drop", ("near_pair",), "near"),
    "corrupt_image": Kind("unified", "quarantine", ("unreadable_image", "truncated_image")),
    "truncated_image": Kind("unified", "quarantine", ("truncated_image",)),
    "oversized_image": Kind("unified", "quarantine", ("too_large",)),
    "zero_byte_image": Kind("unified", "quarantine", ("zero_bytes",)),
    "lfs_pointer": Kind("unified", "quarantine", ("lfs_pointer",)),
    "missing_image": Kind("unified", "quarantine", ("missing_image",)),
    "path_outside_source": Kind("unified", "quarantine", ("path_outside_source",)),
    "bad_json_line": Kind("unified", "quarantine", ("bad_json",)),
    "marker_mismatch": Kind("unified", "quarantine", ("media_count_mismatch",)),
    "missing_marker": Kind("unified", "annotate", ("marker_added",)),
    "wrong_extension": Kind("unified", "annotate", ("wrong_extension",)),
    "animated_gif": Kind("unified", "annotate", ("animated",)),
    "empty_turn": Kind("filtered", "drop", ("empty_turn",)),
    "roles_not_alternating": Kind("filtered", "drop", ("roles_not_alternating",)),
    "repeated_text": Kind("filtered", "drop", ("repeated_text",)),
    "unlicensed": Kind("filtered", "drop", ("unlicensed",)),
    "noncommercial": Kind("filtered", "annotate", ("licence_noncommercial",)),
    "yes_bias": Kind("filtered", "annotate", ("yes_bias",)),
    "contaminated": Kind("filtered", "drop", ("contaminated",), "contamination"),
}


@dataclass(frozen=True, slots=True)
class Locator:
    """Where a sample stands in its source: file, and row (from 0) or member of an archive."""

    file: str | None = None
    row: int | None = None
    member: str | None = None


@dataclass(slots=True)
class Planted:
    """One planted sample. ``group`` joins copies: it does not matter which of its members goes."""

    kind: str
    source: str
    native_id: str | None
    locator: Locator = field(default_factory=Locator)
    group: str | None = None
    twins: list[tuple[str, str]] = field(default_factory=list)  #: (source, native id) of the sample it copies
    detail: str = ""

    def entry(self) -> dict[str, Any]:
        """As written in truth.json."""
        kind = KINDS[self.kind]
        return {
            "kind": self.kind,
            "source": self.source,
            "native_id": self.native_id,
            "locator": asdict(self.locator),
            "expected": {"stage": kind.stage, "verdict": kind.verdict, "reasons": list(kind.reasons)},
            "caught_by": kind.caught_by,
            "group": self.group,
            "twins": [list(t) for t in self.twins],
            "detail": self.detail,
        }


@dataclass(frozen=True, slots=True)
class DemoTruth:
    """What was rendered: every planted sample; clean and all records of each source, counted."""

    seed: int
    planted: tuple[Planted, ...]
    clean: Mapping[str, int]
    samples: Mapping[str, int]

    def to_json(self) -> str:
        """The text of truth.json."""
        return json.dumps(
            {
                "version": 1,
                "seed": self.seed,
                "planted": [p.entry() for p in self.planted],
                "clean": dict(self.clean),
                "samples": dict(self.samples),
            },
            indent=1,
            ensure_ascii=False,
        )

    @staticmethod
    def read(path: Path) -> DemoTruth:
        """The truth of an earlier rendering.

        Raises:
            OSError: if the file cannot be read.
            ValueError: if it is not a truth file of version 1.
        """
        raw = json.loads(path.read_text(encoding="utf-8"))
        if raw.get("version") != 1:
            raise ValueError(f"{path}: truth of version {raw.get('version')}; render the demo again")
        planted = tuple(
            Planted(
                p["kind"], p["source"], p["native_id"], Locator(**p["locator"]), p["group"],
                [(s, i) for s, i in p["twins"]], p["detail"],
            )
            for p in raw["planted"]
        )  # fmt: skip
        return DemoTruth(raw["seed"], planted, raw["clean"], raw["samples"])


VERDICT_SCHEMA: Mapping[str, pl.DataType] = {
    "source": pl.String(),
    "native_id": pl.String(),
    "file": pl.String(),
    "row": pl.Int64(),
    "member": pl.String(),
    "stage": pl.String(),
    "verdict": pl.String(),
    "reason": pl.String(),
}


def score(truth: DemoTruth, verdicts: pl.DataFrame | Iterable[Mapping[str, Any]]) -> pl.DataFrame:
    """How much of what was planted a run caught, and what it took besides.

    Args:
        truth: what was planted.
        verdicts: one row for each verdict but keep, with the columns of :data:`VERDICT_SCHEMA`; a missing one
            counts as null. A row names its sample by native id, by file and row, or by file and member.

    Returns:
        One row for each planted kind, in the order of :data:`KINDS` (``kind``, ``caught_by``, ``planted``,
        ``caught``), then one for ``(clean)``, where ``caught`` counts the clean samples that were dropped or
        quarantined, and ``planted`` all clean samples. A planted sample is caught if some verdict of the
        expected kind with one of the expected reasons names it. Of a group of copies it does not matter which
        one goes. ``yes_bias`` is a property of a source: one verdict on the source suffices.
    """
    rows = _rows(verdicts)
    said: dict[tuple[Any, ...], set[tuple[str, str]]] = {}
    by_source: dict[str, set[tuple[str, str]]] = {}
    for row in rows:
        what = (str(row["verdict"]), str(row["reason"]))
        by_source.setdefault(row["source"], set()).add(what)
        for name in _names(row):
            said.setdefault(name, set()).add(what)
    planted: dict[str, int] = dict.fromkeys(KINDS, 0)
    caught: dict[str, int] = dict.fromkeys(KINDS, 0)
    groups: dict[str, list[Planted]] = {}
    for one in truth.planted:
        planted[one.kind] += 1
        wanted = {(KINDS[one.kind].verdict, reason) for reason in KINDS[one.kind].reasons}
        if one.group is not None:
            groups.setdefault(one.group, []).append(one)
        elif one.kind == "yes_bias":
            caught[one.kind] += bool(by_source.get(one.source, set()) & wanted)
        else:
            found = set().union(*(said.get(n, set()) for n in _names_of(one)))
            caught[one.kind] += bool(found & wanted)
    for members in groups.values():
        kind = members[0].kind
        wanted = {(KINDS[kind].verdict, reason) for reason in KINDS[kind].reasons}
        gone = sum(bool(set().union(*(said.get(n, set()) for n in _names_of(m))) & wanted) for m in members)
        originals = sorted({t for m in members for t in m.twins})
        gone += sum(bool(said.get((s, i), set()) & wanted) for s, i in originals)
        caught[kind] += min(gone, len(members))
    wrong = _wrongly_gone(truth, rows)
    table = [(k, KINDS[k].caught_by, planted[k], caught[k]) for k in KINDS if planted[k]]
    table.append(("(clean)", "now", sum(truth.clean.values()), wrong))
    return pl.DataFrame(table, schema=["kind", "caught_by", "planted", "caught"], orient="row")


def _wrongly_gone(truth: DemoTruth, rows: list[dict[str, Any]]) -> int:
    """Clean samples with a drop or quarantine; a copied original may go in its copy's place."""
    broken = {n for p in truth.planted if KINDS[p.kind].verdict != "annotate" for n in _names_of(p)}
    originals = {(s, i) for p in truth.planted for s, i in p.twins}
    pairs = {r for k in ("exact_duplicate", "near_duplicate") for r in KINDS[k].reasons}
    gone = set()
    for row in rows:
        names = _names(row)
        if row["verdict"] not in {"drop", "quarantine"} or not names or broken.intersection(names):
            continue
        if row["reason"] in pairs and originals.intersection(names):
            continue
        gone.add(names[0])
    return len(gone)


def _names(row: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Every name of a verdict's sample: (source, id), (source, file, row), (source, file, member)."""
    names: list[tuple[Any, ...]] = []
    if row["native_id"] is not None:
        names.append((row["source"], row["native_id"]))
    if row["file"] is not None and row["row"] is not None:
        names.append((row["source"], row["file"], "row", row["row"]))
    if row["file"] is not None and row["member"] is not None:
        names.append((row["source"], row["file"], "member", row["member"]))
    return names


def _names_of(one: Planted) -> list[tuple[Any, ...]]:
    return _names({"source": one.source, "native_id": one.native_id, **asdict(one.locator)})


def _rows(verdicts: pl.DataFrame | Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    given = verdicts.to_dicts() if isinstance(verdicts, pl.DataFrame) else list(verdicts)
    return [{name: row.get(name) for name in VERDICT_SCHEMA} for row in given]
