"""The exact search of near hashes at 1, 10 and 100 million: images at radius 4, texts (SimHash) at radius 3.

Run: ``python -m benchmarks.hamming_join [--sizes 1 10 100] [--peer-up-to 10] [--radii 6 8 10]`` (millions).
A tenth of the hashes of images equal others, and their collapse is counted in. One in a hundred has a planted
neighbour, and one in a hundred stands around one of 100 centres. Each search is a process of its own, which
checks that every planted pair was found, and for some hashes that exactly the pairs were found that a
comparison with all gives. Peers, in the same run: a plain NumPy pigeonhole index (7 blocks, of which 3 match,
in 35 sorted passes, one thread), and the bytes of the hashes themselves, the least that any index needs.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import sys
import time
from itertools import combinations

import numpy as np

from benchmarks._common import report, spend
from infinity_assets.similarity.hamming import Hashes, Pairs, near_pairs, near_pairs_between

SEED = 7
EQUAL = {"image": 0.1, "plain": 0.1, "text": 0.0}  #: ``plain``: the hashes of images again
RADIUS = {"image": 4, "text": 3}
MINUTES, GIBIBYTES = 6, 16


def make(kind: str, count: int, radius: int) -> tuple[Hashes, Hashes]:
    """Hashes, and the planted pairs among them as two columns."""
    random = np.random.default_rng(SEED)
    hashes = random.integers(0, 2**64, count, np.uint64)
    share = count // 100
    planted = np.stack([hashes[:share], flipped(random, hashes[:share], radius)], 1)
    hashes[share : 2 * share] = planted[:, 1]
    centres = random.integers(0, 2**64, 100, np.uint64)
    hashes[2 * share : 3 * share] = flipped(random, centres[random.integers(0, 100, share)], 10)
    equal = int(count * EQUAL[kind])
    # Equal ones are skewed as well: a few hashes have very many copies.
    source = (count - equal) * random.random(equal) ** 4
    hashes[count - equal :] = hashes[source.astype(np.int64)]
    random.shuffle(hashes)
    return hashes, planted


def flipped(random: np.random.Generator, hashes: Hashes, most: int) -> Hashes:
    """Each hash with 1 to ``most`` bits changed."""
    bits = np.zeros_like(hashes)
    number = random.integers(1, most + 1, len(hashes))
    for turn in range(most):
        one = np.uint64(1) << random.integers(0, 64, len(hashes), np.uint64)
        bits |= np.where(turn < number, one, np.uint64(0))
    return hashes ^ bits


def collapse(hashes: Hashes) -> Hashes:
    """Distinct hashes, sorted in place."""
    hashes.sort()
    return hashes[np.concatenate([[True], hashes[1:] != hashes[:-1]])]


def check(hashes: Hashes, pairs: Pairs, planted: Hashes, radius: int) -> dict[str, float]:
    """Recall of planted pairs; hashes of a sample that have not as many pairs as a full comparison says."""
    ends = np.searchsorted(hashes, planted)
    low, high = ends.min(1), ends.max(1)
    key = (pairs.left << 32) | pairs.right
    wanted = (low << 32) | high
    at = np.minimum(np.searchsorted(key, wanted), len(key) - 1)
    wrong = 0
    sample = np.concatenate([np.random.default_rng(SEED).integers(0, len(hashes), 16), low[:16]])
    for row in sample.tolist():
        near = 0
        for start in range(0, len(hashes), 1 << 20):
            near += np.count_nonzero(
                np.bitwise_count(hashes[start : start + (1 << 20)] ^ hashes[row]) <= radius
            )
        wrong += near - 1 != np.count_nonzero((pairs.left == row) | (pairs.right == row))
    return {"planted_recall": float((key[at] == wanted).mean()), "sample_wrong": int(wrong)}


def plain(hashes: Hashes, radius: int) -> int:
    """Pairs by the plain index: each pass sorts all hashes by the bits of 3 of 7 blocks."""
    edges = [64 * block // 7 for block in range(8)]
    masks = [((1 << edges[b + 1]) - 1) & ~((1 << edges[b]) - 1) for b in range(7)]
    found = []
    for chosen in combinations(masks, 7 - radius):
        key = hashes & np.uint64(sum(chosen))
        order = np.argsort(key)
        key = key[order]
        offset = 1
        while (at := np.flatnonzero(key[offset:] == key[:-offset])).size:
            left, right = order[at], order[at + offset]
            near = np.bitwise_count(hashes[left] ^ hashes[right]) <= radius
            found.append((np.minimum(left, right)[near] << 32) | np.maximum(left, right)[near])
            offset += 1
    return len(np.unique(np.concatenate(found)))


def child(kind: str, count: int, radius: int) -> dict[str, float]:
    """One search, in a process of its own."""
    hashes, planted = make(kind, count, radius)
    if kind == "plain":
        start = time.process_time()
        return {"pairs": plain(collapse(hashes), radius), "cpu_s": round(time.process_time() - start, 2)}
    figures: dict[str, float] = {}
    start, cpu = time.perf_counter(), time.process_time()
    hashes = collapse(hashes)
    figures["collapse_s"] = round(time.perf_counter() - start, 2)
    pairs = near_pairs(hashes, radius)
    figures["wall_s"] = round(time.perf_counter() - start, 2)
    figures["cpu_s"] = round(time.process_time() - cpu, 2)
    # Before the checks, which take memory of their own.
    figures["peak_rss_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    figures |= {"distinct": len(hashes), "pairs": len(pairs), "hashes_mb": hashes.nbytes >> 20}
    return figures | check(hashes, pairs, planted, radius)


def added(count: int) -> dict[str, float]:
    """A hundredth more hashes: against all that is known, and among themselves."""
    hashes = collapse(make("image", count + count // 100, 4)[0])
    new = np.zeros(len(hashes), bool)
    new[np.random.default_rng(SEED).choice(len(hashes), len(hashes) // 101, replace=False)] = True
    figures: dict[str, float] = {}
    start, cpu = time.perf_counter(), time.process_time()
    across = near_pairs_between(hashes[new], hashes[~new], 4)
    among = near_pairs(hashes[new], 4)
    figures["added_wall_s"] = round(time.perf_counter() - start, 2)
    figures["added_cpu_s"] = round(time.process_time() - cpu, 2)
    start, cpu = time.perf_counter(), time.process_time()
    whole = near_pairs(hashes, 4)
    figures["whole_wall_s"] = round(time.perf_counter() - start, 2)
    figures["whole_cpu_s"] = round(time.process_time() - cpu, 2)
    figures["pairs_differ"] = int(
        np.count_nonzero(new[whole.left] | new[whole.right]) - len(across) - len(among)
    )
    figures["kept_index_bytes"] = 0  # the known hashes are streamed; nothing is made of them in advance
    return figures


def in_child(kind: str, count: int, radius: int) -> dict[str, float]:
    """The figures of a process of its own, and the exit of this one where it fails."""
    arguments = ["--child", kind, str(count), str(radius)]
    spent = spend([sys.executable, "-m", "benchmarks.hamming_join", *arguments])
    if spent.code != 0:
        raise RuntimeError(f"{kind} {count:,} ended with {spent.code}: {spent.output[-2000:]}")
    figures: dict[str, float] = json.loads(spent.output.splitlines()[-1])
    print(f"{kind:>6} radius {radius:>2} {count:>11,}: {figures}", flush=True)
    return figures


def main() -> None:
    """Print each search and, last, one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=float, nargs="+", default=[1, 10, 100], help="millions of hashes")
    parser.add_argument("--peer-up-to", type=float, default=10, help="largest size for the plain index")
    parser.add_argument("--radii", type=int, nargs="*", default=[6, 8, 10], help="also, at the first size")
    parser.add_argument("--added-to", type=float, default=10, help="millions, to which a hundredth is added")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        kind, count, radius = args.child[0], int(args.child[1]), int(args.child[2])
        print(json.dumps(added(count) if kind == "added" else child(kind, count, radius)))
        return
    figures: dict[str, float] = {}
    missed: list[str] = []
    sizes = [int(size * 1e6) for size in sorted(args.sizes)]
    for kind, radius in RADIUS.items():
        runs = [in_child(kind, size, radius) for size in sizes]
        for size, run in zip(sizes, runs, strict=True):
            figures |= {f"{kind}_{size}_{name}": value for name, value in run.items()}
            if run["planted_recall"] < 1 or run["sample_wrong"]:
                missed.append(f"{kind} {size:,}: not exact")
            if run["wall_s"] > 60 * MINUTES or run["peak_rss_mb"] > 1024 * GIBIBYTES:
                missed.append(f"{kind} {size:,}: {run['wall_s']:.0f} s and {run['peak_rss_mb']} MB")
        if len(sizes) > 1:
            ratio = runs[-1]["cpu_s"] / runs[0]["cpu_s"]
            figures[f"{kind}_growth_exponent"] = round(math.log(ratio) / math.log(sizes[-1] / sizes[0]), 3)
    for size in sizes:
        if size <= args.peer_up_to * 1e6:
            peer = in_child("plain", size, RADIUS["image"])
            figures |= {f"plain_{size}_{name}": value for name, value in peer.items()}
    for radius in args.radii:
        run = in_child("image", sizes[0], radius)
        figures[f"image_{sizes[0]}_radius_{radius}_cpu_s"] = run["cpu_s"]
        if run["planted_recall"] < 1 or run["sample_wrong"]:
            missed.append(f"radius {radius}: not exact")
    more = in_child("added", int(args.added_to * 1e6), RADIUS["image"])
    figures |= more
    if more["pairs_differ"]:
        missed.append("what is added and what is there give other pairs than the whole")
    share = more["added_cpu_s"] / more["whole_cpu_s"]
    figures["added_share_of_cpu"] = round(share, 3)
    if more["added_wall_s"] > 10 or share > 0.15:
        missed.append(
            f"a hundredth more takes {more['added_wall_s']:.1f} s and {share:.0%} of the whole's CPU"
        )
    measured_at_full_size = sizes[-1] >= 100_000_000
    report(
        "hamming_join",
        figures,
        f"exact; 100 million within {MINUTES} minutes and {GIBIBYTES} GiB on 2 cores; "
        "a hundredth added to 10 million within 10 s and 15 % of the whole",
        False if missed else True if measured_at_full_size else None,
        "; ".join(missed) or ("" if measured_at_full_size else "100 million were not among the sizes"),
    )


if __name__ == "__main__":
    main()
