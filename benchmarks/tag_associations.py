"""Associations of image tags with instructions over a large seed set, against counting the pairs alone.

Run: ``python -m benchmarks.tag_associations [--samples N]``. Tags of N made samples follow a power law over
4,585 names (RAM++'s vocabulary), 4 to 15 a sample, and each asks for one of 199 instructions. One process
makes the rows, then counts, weighs and evaluates; time is told without making them, memory with them. Beside
it runs the least that any method must do: one count of every pair of a tag and an instruction, from codes.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np
import pyarrow as pa

from benchmarks._common import report
from infinity_assets.stages.tag_associations.associate import associate
from infinity_assets.stages.tag_associations.policy import load_association_policy
from infinity_assets.stages.tagged.taxonomy import Leaf, Taxonomy

TAGS, INSTRUCTIONS = 4_585, 199
TARGET_S, TARGET_MB = 5.0, 1_000.0


def main() -> None:
    """Print the cost and, last, one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=1_000_000)
    samples = parser.parse_args().samples
    rng = np.random.default_rng(7)
    lengths = rng.integers(4, 16, samples)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    tags = np.minimum((rng.pareto(0.7, offsets[-1]) * 20).astype(np.int64), TAGS - 1)
    asked = rng.integers(0, INSTRUCTIONS, samples)
    began = _cpu()
    np.bincount(np.repeat(asked, lengths) * TAGS + tags, minlength=TAGS * INSTRUCTIONS)
    least = _cpu() - began
    rows = _rows(tags, offsets, asked)
    pairs = len(tags)
    del tags, lengths, offsets, asked
    before, cpu, wall = _peak_mb(), _cpu(), time.perf_counter()
    result = associate(rows, _taxonomy(), load_association_policy(None))
    figures = {
        "samples": samples,
        "pairs_counted": pairs,
        "rows": result.table.num_rows,
        "cpu_s": round(_cpu() - cpu, 2),
        "wall_s": round(time.perf_counter() - wall, 2),
        "counting_codes_alone_cpu_s": round(least, 2),
        "peak_mb": round(_peak_mb()),
        "peak_mb_with_the_rows_made": round(before),
    }
    print(figures, flush=True)
    met = figures["cpu_s"] < TARGET_S and figures["peak_mb"] < TARGET_MB if samples >= 1_000_000 else None
    why = "" if met else ("fewer samples than the target speaks of" if met is None else "see the figures")
    target = f"1 M samples x {TAGS:,} x {INSTRUCTIONS} under {TARGET_S:g} s and {TARGET_MB:,.0f} MB"
    report("tag_associations", figures, target, met, why)


def _rows(
    tags: np.typing.NDArray[np.int64],
    offsets: np.typing.NDArray[np.int64],
    asked: np.typing.NDArray[np.int64],
) -> pa.Table:
    names = pa.array([f"tag {i:04d}" for i in range(TAGS)])
    leaves = pa.array([f"leaf_{i:03d}" for i in range(INSTRUCTIONS)])
    shown = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), names.take(pa.array(tags)))
    each = pa.array(np.arange(len(asked) + 1), pa.int32())
    ids = pa.array(
        [f"made-{i:032x}" for i in np.random.default_rng(8).integers(0, 1 << 62, len(asked)).tolist()]
    )
    instructions = pa.ListArray.from_arrays(each, leaves.take(pa.array(asked)))
    return pa.table({"sample_id": ids, "image_tags": shown, "instruction_l3": instructions})


def _taxonomy() -> Taxonomy:
    names = [f"leaf_{i:03d}" for i in range(INSTRUCTIONS)]
    leaves = {
        name: Leaf(name, f"top_{i % 6}", f"group_{i % 22}", name, (), "ocr", "ocr", 1)
        for i, name in enumerate(names)
    }
    return Taxonomy("made", 1, leaves, frozenset(), {})


def _cpu() -> float:
    return time.process_time()


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


if __name__ == "__main__":
    main()
