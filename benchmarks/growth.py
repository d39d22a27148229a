"""What one per cent more of a source costs: ``raw`` to ``filtered`` again after lines or a file were added.

Run: ``python -m benchmarks.growth [--rows N]``. A source of texts is run, grows by one per cent, and is run
again: once by lines appended to its file, once by a new file. A run is a process with all its imports and
Dagster's records. Data files of every table are counted: those of before must stay, and each stage may add
one for each slice that is new or was cut differently. Nothing but this repository is needed.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from benchmarks._common import report, run_spine, write_source
from benchmarks._made import write_texts

TARGET = 0.05  #: of the first run's CPU-seconds
STAGES = 6  #: tables with rows of a source of texts: raw, unified, deduped, tagged, filtered; and the ledger
NEW_SLICES = 2  #: the last one of before, which grew or gave lines away, and one more


def main() -> None:
    """Print each run and, last, one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="samples before the source grows")
    args = parser.parse_args()
    more = args.rows // 100
    with tempfile.TemporaryDirectory() as folder:
        temporary = Path(folder)
        source, home, catalogue = temporary / "texts", temporary / "home", temporary / "catalogue"
        source.mkdir()
        write_source(catalogue, "texts", source, {"format": "alpaca"})
        write_texts(source / "a.jsonl", 0, args.rows)
        first = run_spine(home, catalogue, "filtered")
        figures = {"rows": args.rows, "rows_added": more, **first.figures("first_")}
        print(f"first run: {first.figures()}", flush=True)
        failed = []
        for label, name, start in (
            ("appended", "a.jsonl", args.rows),
            ("new_file", "b.jsonl", args.rows + more),
        ):
            before = _data_files(home)
            write_texts(source / name, start, more)
            again = run_spine(home, catalogue, "filtered")
            after = _data_files(home)
            share = again.cpu_s / first.cpu_s
            figures |= {
                **again.figures(f"{label}_"),
                f"{label}_cpu_share": round(share, 4),
                f"{label}_wall_share": round(again.wall_s / first.wall_s, 4),
                f"{label}_data_files_before": len(before),
                f"{label}_data_files_added": len(after - before),
            }
            print(f"{label}: {again.figures()}, {len(after - before)} data files added", flush=True)
            if share > TARGET:
                failed.append(f"{label}: {share:.1%} of the first run's CPU")
            if before - after or len(after - before) > STAGES * NEW_SLICES:
                failed.append(f"{label}: {len(after - before)} data files added")
    target = f"at most {TARGET:.0%} of the first run's CPU-seconds, and only new fragments are written"
    report("growth", figures, target, not failed, "; ".join(failed))


def _data_files(home: Path) -> set[str]:
    return {str(path) for path in (home / "store").glob("*/*.lance/data/*")}


if __name__ == "__main__":
    main()
