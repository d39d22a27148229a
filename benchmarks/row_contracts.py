"""Row contract of ``unified`` over made rows: Great Expectations, Arrow's functions, a native DuckDB scan.

Run: ``python -m benchmarks.row_contracts [--rows N]``. The rows stand in a Lance table, and in a Parquet file
with the same columns, from which DuckDB reads what it needs: one statement with a count for each rule, which
looks up no failing ids. References and the schema are left out, which are no rules of rows. A few rows break
a rule each, and all three must count the same. Each runs in a process of its own, DuckDB with two threads.
The target is about CPU seconds, since the machine is shared; imports are told apart.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import lance
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks._common import report, spend
from infinity_assets.quality.audit import Facts, audit
from infinity_assets.quality.contract import Contract, load_contract
from infinity_assets.quality.engines import open_engine

TIMES, LIMIT_MB = 6.0, 2_000
BATCH = 100_000
ENGINES = ("duckdb", "great_expectations", "arrow")
ID = "^[a-z0-9_]+-[0-9a-f]{32}$"
CODE = "^[a-z][a-z0-9_]*$"


def main() -> None:
    """Print what each costs and, last, one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--run", choices=ENGINES, help="what a process of its own is started with")
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    if given.run:
        print(json.dumps(_run(given.run, given.folder)))
        return
    folder = Path(tempfile.mkdtemp(prefix="row_contracts_"))
    try:
        _write(folder, given.rows)
        figures: dict[str, Any] = {"rows": given.rows}
        found = {}
        for name in ENGINES:
            if name == "duckdb" and find_spec("duckdb") is None:
                continue
            spent = spend(
                [sys.executable, "-m", "benchmarks.row_contracts", "--run", name, "--folder", folder]
            )
            if spent.code:
                raise RuntimeError(spent.output[-2000:])
            told = json.loads(spent.output.splitlines()[-1])
            found[name] = told.pop("failed")
            figures |= {f"{name}_{key}": value for key, value in told.items()}
            figures[f"{name}_peak_mb"] = round(spent.peak_rss_mb)
            print({key: value for key, value in figures.items() if key.startswith(name)}, flush=True)
    finally:
        shutil.rmtree(folder)
    different = [name for name, failed in found.items() if failed != found["arrow"]]
    figures["rules"], figures["rules_broken"] = len(found["arrow"]), sum(map(bool, found["arrow"].values()))
    target = f"{TIMES:g} times one DuckDB scan of the same rules, under {LIMIT_MB:,} MB"
    if "duckdb" not in found:
        report("row_contracts", figures, target, None, "duckdb is not installed")
        return
    times = figures["great_expectations_cpu_s"] / figures["duckdb_cpu_s"]
    figures["times"] = round(times, 2)
    figures["times_wall"] = round(figures["great_expectations_wall_s"] / figures["duckdb_wall_s"], 2)
    met = times <= TIMES and figures["great_expectations_peak_mb"] < LIMIT_MB and not different
    why = f"counts differ: {different}, {found}" if different else "" if met else "see the figures"
    report("row_contracts", figures, target, met, why)


def _contract() -> Contract:
    given = load_contract("unified")
    rules = tuple(check for check in given.checks if check.type not in {"schema", "reference"})
    return given.model_copy(update={"checks": rules})


def _run(name: str, folder: Path) -> dict[str, Any]:
    began, wall = time.process_time(), time.perf_counter()
    if name == "duckdb":
        duckdb = import_module("duckdb")
        connection = duckdb.connect(config={"threads": 2, "memory_limit": "4GB"})
        loaded, start = time.process_time() - began, (time.process_time(), time.perf_counter())
        query = _query(folder)
        relation = connection.sql(query)
        failed = dict(zip(relation.columns, relation.fetchall()[0], strict=True))
    else:
        rows = int((folder / "rows").read_text())
        table = lance.dataset(str(folder / "made.lance"))
        engine = "great_expectations" if name == "great_expectations" else "arrow"
        open_engine(engine)
        if engine == "great_expectations":
            import_module("infinity_assets.quality.engines.loading").load()
        loaded, start = time.process_time() - began, (time.process_time(), time.perf_counter())
        results = audit(_contract(), table.schema, table, Facts(rows), engine=engine)
        failed = {result.name: result.failed_rows for result in results}
    return {
        "cpu_s": round(time.process_time() - start[0], 2),
        "wall_s": round(time.perf_counter() - start[1], 2),
        "load_cpu_s": round(loaded, 2),
        "all_wall_s": round(time.perf_counter() - wall, 2),
        "failed": {key: int(value) for key, value in failed.items()},
    }


def _query(folder: Path) -> str:
    """Every rule of :func:`_contract` as one count."""
    contract = _contract()
    (required,) = (check for check in contract.checks if check.name == "required_columns")
    nulls = " or ".join(f"{column} is null" for column in required.paths())
    differ = " or ".join(
        f"list_sum(list_transform(turns, lambda t: (length(t.text) - length(replace(t.text, '<{kind}>', '')))"
        f" // {len(kind) + 2})) <> len(list_filter(media, lambda m: m.kind = '{kind}'))"
        for kind in ("image", "video", "audio")
    )
    roles = "'system', 'user', 'assistant', 'tool'"
    rules = {
        "required_columns": nulls,
        "sample_id_names_its_source": f"not regexp_matches(sample_id, '{ID}')",
        "locator_names_a_file": "locator.file is null",
        "known_verdict": "verdict not in ('keep', 'quarantine')",
        "reason_iff_not_kept": "(verdict <> 'keep') <> (reason is not null)",
        "reason_is_a_code": f"not regexp_matches(reason, '{CODE}')",
        "known_roles": f"len(list_filter(turns, lambda t: t.role not in ({roles}))) > 0",
        "known_media": "len(list_filter(media, lambda m: m.kind not in ('image', 'video', 'audio'))) > 0",
        "markers_match_media": f"len(turns) > 0 and verdict = 'keep' and ({differ})",
        "kept_rows_have_a_content_hash": "(verdict = 'keep') <> (content_hash is not null)",
        "language_score_is_a_probability": "not language_score between 0 and 1",
        "question_tokens_not_negative": "question_tokens < 0",
        "answer_tokens_not_negative": "answer_tokens < 0",
    }
    names = [check.name for check in contract.checks]
    counts = {name: f"count(*) filter (where {rule})" for name, rule in rules.items()}
    counts["unique_sample_id"] = "count(*) - count(distinct sample_id)"
    counts["rows_conserved"] = f"abs(count(*) - {(folder / 'rows').read_text()})"
    selected = ", ".join(f"{counts[name]} as {name}" for name in names)
    return f"select {selected} from read_parquet('{folder / 'made.parquet'}')"


def _write(folder: Path, rows: int) -> None:
    schema = next(_batches(1)).schema
    with pq.ParquetWriter(folder / "made.parquet", schema, compression="zstd") as writer:
        for batch in _batches(rows):
            writer.write_batch(batch)
    lance.write_dataset(_batches(rows), str(folder / "made.lance"), schema=schema)
    (folder / "rows").write_text(str(rows))


def _batches(rows: int) -> Iterator[pa.RecordBatch]:
    """Conversations of two exchanges about a picture; of each million rows a few break a rule."""
    rng = np.random.default_rng(7)
    words = np.array(["what", "is", "shown", "in", "this", "picture", "of", "a", "red", "car", "near"])
    pool = pa.array([" ".join(line) for line in words[rng.integers(0, len(words), (20_000, 14))]])
    for start in range(0, rows, BATCH):
        n = min(BATCH, rows - start)
        ids = [
            f"made_source-{i:016x}{start + k:016x}"
            for k, i in enumerate(rng.integers(0, 1 << 62, n).tolist())
        ]
        heads = pa.array(["<image>\nnumber", "number", "number", "number"] * n)
        numbers = pa.array(np.arange(4 * start, 4 * (start + n))).cast(pa.string())
        texts = pc.binary_join_element_wise(
            heads, numbers, pool.take(pa.array(rng.integers(0, len(pool), 4 * n))), " "
        )
        kept = rng.random(n) > 0.05
        flat = {"role": pa.array(["user", "assistant"] * (2 * n)), "text": texts}
        four, one = (pa.array(np.arange(0, (n + 1) * k, k), pa.int32()) for k in (4, 1))
        pictures = pa.array([f"{i:032x}" for i in rng.integers(0, 1 << 62, n).tolist()])
        if n > 20:
            ids[3], ids[4] = ids[5], "NO-ID"
            flat["role"] = pa.array(["dog", *flat["role"].to_pylist()[1:]])
            kept[:20] = True
        hashes = pa.array(np.arange(n), pa.int64()).cast(pa.string())
        text = pa.array(["{}"]).take(pa.array(np.zeros(n, np.int64)))
        scores, tokens = rng.random(n, np.float32), rng.integers(1, 300, n)
        if n > 20:
            scores[7], scores[8], tokens[9] = np.nan, 1.5, -1
        columns = {
            "sample_id": pa.array(ids),
            "source": pa.array(["made_source"] * n),
            "record_hash": pictures,
            "locator": pa.StructArray.from_arrays(
                [pa.array(["part.jsonl"] * n), pa.array(np.arange(n))], ["file", "row"]
            ),
            "turns": pa.ListArray.from_arrays(
                four, pa.StructArray.from_arrays(list(flat.values()), list(flat))
            ),
            "media": pa.ListArray.from_arrays(
                one, pa.StructArray.from_arrays([pa.array(["image"] * n), pictures], ["kind", "image_id"])
            ),
            "image_ids": pa.ListArray.from_arrays(one, pictures),
            **dict.fromkeys(
                ("annotations", "question_hashes", "turn_hashes"),
                pa.ListArray.from_arrays(four, flat["role"]),
            ),
            **dict.fromkeys(("extras", "upstream", "licence"), text),
            "marker_added": pa.array(np.zeros(n, np.bool_)),
            "verdict": pa.array(np.where(kept, "keep", "quarantine")),
            "reason": pa.array(["missing_image"] * n, pa.string(), mask=kept),
            "content_hash": pa.array(hashes.to_pylist(), pa.string(), mask=~kept),
            "language_score": pa.array(scores),
            "question_tokens": pa.array(tokens, pa.int32()),
            "answer_tokens": pa.array(tokens, pa.int32()),
        }
        yield pa.RecordBatch.from_pydict(columns)


if __name__ == "__main__":
    main()
