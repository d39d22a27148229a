"""Whether memory stays flat in the size of a source: ``raw`` to ``filtered`` for texts and for pictures.

Run: ``python -m benchmarks.memory [--texts N] [--images N] [--only texts|images]``. Each kind is made and run
at a tenth of its size and at its size. Memory is the largest sum over all processes, pages that several of
them share counted once (proportional set size); the sum with shared pages counted in each is shown too.
Nothing but this repository is needed.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from benchmarks._common import report, run_spine, write_source
from benchmarks._made import write_images, write_texts

LIMIT_MB = 1536


def main() -> None:
    """Print each run and, last, one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=1_000_000, help="samples of the source of texts")
    parser.add_argument("--images", type=int, default=100_000, help="pictures of the source of pictures")
    parser.add_argument("--only", choices=("texts", "images"))
    args = parser.parse_args()
    figures: dict[str, float] = {}
    peaks = []
    for kind, size in (("texts", args.texts), ("images", args.images)):
        if args.only in {None, kind}:
            for label, count in (("tenth", size // 10), ("whole", size)):
                figures[f"{kind}_{label}"] = count
                figures |= _run(kind, count, f"{kind}_{label}_")
            peaks.append(figures[f"{kind}_whole_peak_pss_mb"])
    met = max(peaks) < LIMIT_MB
    why = "" if met else f"{max(peaks):.0f} MB"
    report(
        "memory",
        figures,
        f"less than {LIMIT_MB} MB over all processes, shared pages counted once, at any size",
        met,
        why,
    )


def _run(kind: str, count: int, prefix: str) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        temporary = Path(folder)
        source = temporary / kind
        source.mkdir()
        if kind == "texts":
            write_texts(source / "texts.jsonl", 0, count)
            reader = {"format": "alpaca"}
        else:
            write_images(source, count)
            reader = {"format": "image_folder", "question": "What is this?"}
        write_source(temporary / "catalogue", kind, source, reader)
        figures = run_spine(temporary / "home", temporary / "catalogue", "filtered").figures(prefix)
    print(f"{count:>9,} {kind}: {figures}", flush=True)
    return figures


if __name__ == "__main__":
    main()
