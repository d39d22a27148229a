"""Marts and tests over simulated rows of every stage: wall, CPU and memory of the whole of dbt, by rows.

``--rows 43000000`` is the real size (Infinity-MM, arXiv 2410.18558). What is simulated is the snapshot;
dbt, its models and its tests are the real ones. Each sample has its row in ``unified``, ``deduped``,
``tagged`` and ``filtered`` (with 17 measures) as far as it gets, and a quarter of the kept ones a line of a
mix; each check has 30 outcomes for each source. Then every page of the dashboard is drawn over it, and timed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks._common import REPOSITORY, report, spend
from infinity_assets.marts.dbt import BUILT, build_marts, find_dbt
from infinity_assets.marts.narrow import MEASURE, NARROW
from infinity_assets.marts.told import SMALL, write_small

SOURCES = 100
CHUNK = 500_000
#: Names as the policy has them; as many vary as do in real data, the others are 0.
VARYING = [f"measure_{n}" for n in range(9)]
CONSTANT = [f"nothing_{n}" for n in range(8)]
CHECKED = (
    "images",
    "unified",
    "duplicate_ledger",
    "deduped",
    "tagged",
    "filtered",
    "contamination",
    "scored",
)
CHECKS, RUNS = 12, 30  #: of a stage, and of each of its checks
DASHBOARD = BUILT.with_name("python")
TAGS = 4_000  #: of the vocabulary, the popular ones far more often
MINUTES, GIB, PAGE_SECONDS = 15, 16, 3


def _chunk(source: str, first: int, rows: int) -> dict[str, pl.DataFrame]:
    """Rows of every table of a part of a source; ids are random, as hashes are."""
    draw = np.random.default_rng(first + 1)
    hexes = draw.integers(0, 2**63, (rows, 2), dtype=np.uint64)
    ids = (
        pl.DataFrame({"a": hexes[:, 0], "b": hexes[:, 1]})
        .select(
            pl.format(
                "{}-{}{}",
                pl.lit(source),
                pl.col("a").cast(pl.String).str.pad_start(20, "0").str.slice(4),
                pl.col("b").cast(pl.String).str.pad_start(20, "0").str.slice(4),
            )
        )
        .to_series()
    )
    kept = draw.random((rows, 3)) < (0.98, 0.95, 0.93)
    verdict = [
        pl.DataFrame({"keep": kept[:, i]}).select(
            verdict=pl.when("keep").then(pl.lit("keep")).otherwise(pl.lit(bad)),
            reason=pl.when("keep").then(None).otherwise(pl.lit(why)),
        )
        for i, (bad, why) in enumerate(
            (("quarantine", "bad_json"), ("drop", "near_pair"), ("drop", "repeated_text"))
        )
    ]
    base = pl.DataFrame({"source": pl.repeat(source, rows, eager=True), "sample_id": ids})
    tags = (draw.zipf(1.3, rows * 6) % TAGS).astype(np.uint32)
    lists = pl.Series("image_tags", tags.reshape(rows, 6)).arr.to_list()
    unified = base.with_columns(
        language=pl.lit("en"),
        licence=pl.lit("CC-BY-4.0"),
        images=pl.lit(1, pl.Int32),
        question_tokens=pl.Series(draw.integers(5, 60, rows, dtype=np.int32)),
        answer_tokens=pl.Series(draw.integers(1, 400, rows, dtype=np.int32)),
    ).hstack(verdict[0])
    second = base.filter(kept[:, 0]).hstack(verdict[1].filter(kept[:, 0]))
    both = kept[:, 0] & kept[:, 1]
    tagged = base.filter(both).with_columns(
        question_type=pl.Series(
            draw.choice(["what", "where", "yes_no", "open", "describe"], int(both.sum()))
        ),
        image_tags=lists.filter(pl.Series(both)).cast(pl.List(pl.String)),
        verdict=pl.lit("keep"),
        reason=pl.lit(None, pl.String),
    )
    third = (
        base.filter(both)
        .with_columns(findings=pl.lit([], pl.List(pl.String)), measures=_measures(draw, int(both.sum())))
        .hstack(verdict[2].filter(both))
    )
    mixed = (
        third.filter(pl.col("verdict") == "keep")
        .gather_every(4)
        .select(
            training_stage=pl.lit("4"),
            sample_id="sample_id",
            source="source",
            category=pl.lit("general"),
            tokens=pl.lit(100, pl.Int32),
            times=pl.lit(1, pl.Int32),
            verdict=pl.lit("keep"),
            reason=pl.lit(None, pl.String),
        )
    )
    return {"unified": unified, "deduped": second, "tagged": tagged, "filtered": third, "mixed": mixed}


def _measures(draw: np.random.Generator, rows: int) -> pl.Series:
    """Every measure of each row: powers of ten that vary, and zeros."""
    values = np.zeros((rows, len(VARYING) + len(CONSTANT)), np.float32)
    values[:, : len(VARYING)] = draw.lognormal(3, 1.5, (rows, len(VARYING)))
    names = pa.DictionaryArray.from_arrays(
        pa.array(np.tile(np.arange(values.shape[1], dtype=np.int32), rows)), pa.array(VARYING + CONSTANT)
    ).cast(pa.string())
    pairs = pa.StructArray.from_arrays([names, pa.array(values.ravel())], fields=list(MEASURE))
    offsets = pa.array(np.arange(rows + 1, dtype=np.int32) * values.shape[1])
    return pl.Series(pl.from_arrow(pa.ListArray.from_arrays(offsets, pairs)))


def _checks() -> pa.Table:
    """Results of contracts; one in a thousand failed."""
    draw = np.random.default_rng(0)
    rows = pl.DataFrame({"stage": CHECKED}).join(
        pl.DataFrame({"partition": [f"source_{n:03d}" for n in range(SOURCES)]}), how="cross"
    )
    rows = rows.join(pl.DataFrame({"name": [f"check_{n}" for n in range(CHECKS)]}), how="cross")
    rows = rows.join(pl.DataFrame({"number": np.arange(RUNS)}), how="cross")
    passed = pl.Series(draw.random(len(rows)) > 0.001)
    told = rows.with_columns(
        engine=pl.lit("contract"),
        run_id=pl.lit("a-run"),
        checked_at=pl.lit("2026-01-01T00:00:00+00:00"),
        blocking=pl.lit(True),
        passed=passed,
        failed_rows=pl.when(passed).then(0).otherwise(1).cast(pl.Int64),
        failing_ids=pl.lit([], pl.List(pl.String)),
        told=pl.lit("what is promised"),
    )
    return told.select(SMALL["checks"].names).to_arrow().cast(SMALL["checks"])


def simulate(folder: Path, rows: int) -> None:
    """Write a snapshot of so many samples, as ``publish_snapshot`` would."""
    for name, one in NARROW.items():
        (folder / name).mkdir(parents=True)
        pq.write_table(one.schema.empty_table(), folder / name / "none.parquet")
    counts: dict[tuple[str, str], np.ndarray] = {}
    asked: list[dict[str, object]] = []
    each = -(-rows // SOURCES)
    for number in range(SOURCES):
        source = f"source_{number:03d}"
        for first in range(0, each, CHUNK):
            for name, frame in _chunk(source, number * each + first, min(CHUNK, each - first)).items():
                table = frame.select(NARROW[name].schema.names).to_arrow().cast(NARROW[name].schema)
                pq.write_table(table, folder / name / f"{source}-{first}.parquet", compression="zstd")
                if name == "mixed":
                    asked.append({"training_stage": "4", "category": "general", "source": source})
                    asked[-1] |= {"asked": len(frame), "realised": len(frame), "short": 0}
                key = (name, "4" if name == "mixed" else source)
                told = [
                    len(frame),
                    *(int((frame["verdict"] == v).sum()) for v in ("keep", "drop", "quarantine")),
                ]
                counts[key] = counts.get(key, np.zeros(4, np.int64)) + np.array(told)
    partitions = [
        {"stage": s, "partition": p, "rows_in": int(c[0]), "rows": int(c[0]), "kept": int(c[1])}
        | {"dropped": int(c[2]), "quarantined": int(c[3]), "data_version": "v", "run_id": "r"}
        for (s, p), c in counts.items()
    ]
    small = {name: schema.empty_table() for name, schema in SMALL.items()}
    small["mix_asked"] = pa.Table.from_pylist(asked, SMALL["mix_asked"])
    small["checks"] = _checks()
    small["sources"] = pa.Table.from_pylist(
        [{"source": f"source_{n:03d}", "evaluation": False} for n in range(SOURCES)], SMALL["sources"]
    )
    small["partitions"] = pa.Table.from_pylist(partitions, SMALL["partitions"])
    write_small(folder, small)


def main() -> None:
    """Simulate, build, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--memory", default="4GB", help="of the database")
    parser.add_argument("--build", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.build:
        build_marts(find_dbt(None), given.build, 1, given.workers)
        return
    home = Path(tempfile.mkdtemp(prefix="quality_marts_"))
    folder = home / "quality" / "000001-simulated"
    folder.mkdir(parents=True)
    try:
        began = time.perf_counter()
        simulate(folder, given.rows)
        print(f"simulated {given.rows:,} samples in {time.perf_counter() - began:.0f} s", flush=True)
        size = sum(path.stat().st_size for path in folder.rglob("*.parquet"))
        command = [sys.executable, "-m", "benchmarks.quality_marts", "--build", folder]
        command += ["--workers", str(given.workers)]
        spent = spend(command, environment={"INFINITY_DBT_MEMORY": given.memory})
        if spent.code != 0:
            raise RuntimeError(spent.output[-3000:])
        results = pl.read_parquet(folder / "marts" / "check_results.parquet")
        results = results.filter(pl.col("engine") == "dbt")
        failed = results.filter(~pl.col("passed"))["name"].to_list()
        figures = {"rows": given.rows, "snapshot_mb": round(size / 2**20), **spent.figures()}
        figures |= _pages(home, folder, given.rows)
        figures |= {"tests": len(results), "failed": failed, "database_memory": given.memory}
        real = given.rows >= 43_000_000
        in_time = spent.wall_s <= 60 * MINUTES and spent.peak_pss_mb <= GIB * 1024
        drawn = figures["slowest_page_s"]
        met = in_time and drawn <= PAGE_SECONDS if real and drawn is not None else None
        why = "the target is for 43 M rows: --rows 43000000" if not real else ""
        why = why or ("" if drawn is not None else "the dashboard's environment is missing: make quality")
        target = f"43 M rows in {MINUTES} minutes and {GIB} GiB, a page in {PAGE_SECONDS} s"
        report("quality_marts", figures, target, met, why)
    finally:
        shutil.rmtree(home)


def _pages(home: Path, folder: Path, rows: int) -> dict[str, object]:
    """Seconds that each page takes to be drawn, without a browser; nulls where Streamlit is not installed."""
    told = {"number": 1, "id": "simulated", "rows": {"unified": rows}}
    (folder / "snapshot.json").write_text(json.dumps(told), "utf-8")
    (home / "quality" / "current").write_text(folder.name, "utf-8")
    if not DASHBOARD.exists():
        return {"slowest_page_s": None, "pages_s": None}
    done = subprocess.run(
        [DASHBOARD, "-m", "benchmarks.dashboard_pages"],
        env={**os.environ, "INFINITY_HOME": str(home)},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(done.stderr[-3000:])
    seconds = json.loads(done.stdout.splitlines()[-1])
    return {"slowest_page_s": max(seconds.values()), "pages_s": seconds}


if __name__ == "__main__":
    main()
