"""What the whole of ``raw`` to ``deduped`` costs on 3,259 real pictures and their text, beside Data-Juicer.

Run: ``python -m benchmarks.raw_to_deduped [--data DIR] [--rounds N] [--peer]``. Ours is one process with
Dagster and its SQLite records, one worker, tokens, languages, audits and commits. ``--peer`` makes an
environment with Data-Juicer 1.6 under ``.envs`` where there is none, and runs on the same pictures its image
shape filter, aspect ratio filter and image deduplicator (phash) with two processes. CPU is of the process
and all below it; memory is the largest sum over them. Then one more run of ours is traced, to say where each
second goes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path

import yaml

from benchmarks import _trace
from benchmarks._common import REAL_DATA, REPOSITORY, report, run_spine
from benchmarks._data_juicer import run_data_juicer
from benchmarks.image_measures import EXTENSIONS, FOLDERS

CATALOGUE = REPOSITORY / "infinity_assets_tests" / "real_catalogue"

#: One source for each folder, so that a picture is decoded once; COCO's captions are its text.
SOURCES = {folder: folder for folder in FOLDERS} | {"coco_tiny": "coco_captions"}

TARGET_CPU_S = 11.0
TARGET_MEMORY = 0.5  #: of Data-Juicer's

#: Data-Juicer on the same pictures as measured when the target was set, for runs without ``--peer``.
REFERENCE = {"cpu_s": 35.8, "wall_s": 32.0, "peak_mb": 1090.0}

#: What Data-Juicer does to the pictures.
PEER_OPERATORS = (
    {"image_shape_filter": {"min_width": 1, "min_height": 1, "skip_op_error": True}},
    {"image_aspect_ratio_filter": {"min_ratio": 0.1, "max_ratio": 10.0}},
    {"image_deduplicator": {"method": "phash"}},
)


def main() -> None:
    """Print the table of seconds and, last, one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=REAL_DATA, help="folder of the real data")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peer", action="store_true", help="run Data-Juicer too; installs it if need be")
    args = parser.parse_args()
    target = (
        f"at most {TARGET_CPU_S:g} CPU-seconds, and at most {TARGET_MEMORY:.0%} of Data-Juicer's memory"
        " (proportional set size of all processes)"
    )
    data = args.data.resolve()
    missing = [folder for folder in FOLDERS if not (data / folder).is_dir()]
    if missing:
        report("raw_to_deduped", {}, target, None, f"no {', '.join(missing)} in {data}; give --data")
        return
    with tempfile.TemporaryDirectory() as folder:
        temporary = Path(folder)
        catalogue = temporary / "catalogue"
        _write_catalogue(catalogue, data)
        ours = [
            run_spine(temporary / f"home{i}", catalogue, "deduped", workers=1) for i in range(args.rounds)
        ]
        trace = temporary / "trace"
        trace.mkdir()
        run_spine(temporary / "traced", catalogue, "deduped", workers=1, trace=trace)
        _print_seconds(trace)
        pictures = _pictures(data)
        peer, absent = None, "run with --peer to measure it"
        if args.peer:
            peer, absent = run_data_juicer(temporary, pictures, PEER_OPERATORS)
    cpu = statistics.median(run.cpu_s for run in ours)
    memory = max(run.peak_pss_mb for run in ours)
    best = min(ours, key=lambda run: abs(run.cpu_s - cpu))
    figures = {"pictures": len(pictures), "rounds": args.rounds, **best.figures(), "peer": None}
    if peer is not None:
        figures["peer"] = peer.figures()
        figures["cpu_ratio"] = round(peer.cpu_s / cpu, 2)
    theirs = peer.peak_pss_mb if peer is not None else REFERENCE["peak_mb"]
    figures["memory_share"] = round(memory / theirs, 3)
    met = cpu <= TARGET_CPU_S and memory <= TARGET_MEMORY * theirs
    reasons = []
    if cpu > TARGET_CPU_S:
        reasons.append(f"{cpu:.1f} CPU-seconds; the table says on what")
    if memory > TARGET_MEMORY * theirs:
        reasons.append(f"{memory:.0f} MB of {theirs:.0f} MB")
    if peer is None:
        reasons.append(f"peer: {absent}; compared with {json.dumps(REFERENCE)} measured earlier")
    report("raw_to_deduped", figures, target, met, "; ".join(reasons))


def _write_catalogue(catalogue: Path, data: Path) -> None:
    """The sources of the tests' catalogue with locations below ``data``."""
    catalogue.mkdir()
    for folder, name in SOURCES.items():
        spec = yaml.safe_load((CATALOGUE / f"{name}.yaml").read_text())
        for key in ("location", "media"):
            if key in spec:
                _, _, below = spec[key].partition(f"/{folder}")
                spec[key] = str(data / folder) + below
        (catalogue / f"{name}.yaml").write_text(yaml.safe_dump(spec))


def _pictures(data: Path) -> list[Path]:
    return [
        path
        for folder in FOLDERS
        for path in sorted((data / folder).rglob("*"))
        if path.suffix.lower() in EXTENSIONS and path.is_file()
    ]


def _print_seconds(trace: Path) -> None:
    print(f"{'process':<9}{'part':<36}{'CPU s':>8}{'calls':>9}")
    total = 0.0
    for process, part, seconds, calls in _trace.rows(trace):
        total += seconds
        print(f"{process:<9}{part:<36}{seconds:>8.2f}{calls or '':>9}")
    print(f"{'all':<45}{total:>8.2f}", flush=True)


if __name__ == "__main__":
    main()
