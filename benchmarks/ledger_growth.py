"""What one per cent of new samples costs the duplicate ledger, through the real store.

Run: ``python -m benchmarks.ledger_growth [--samples N ...]``. Tables of samples and pictures are made and
published without being read from files: five questions about each picture, a fifth of the samples with a text
that is long enough to be near another, one picture in 200 a near copy. The ledger of all is computed, then
again after a source of one per cent arrived, each in a process of its own; and a third time from nothing,
whose slices must be equal. Shares are of CPU time above that of a process that imports the same and opens the
deployment. The target is asked of the largest size: below some 100,000 samples what it costs to open tables
and to commit is most of it. Nothing but this repository is needed.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tempfile
from functools import cache
from importlib import import_module
from pathlib import Path

import blake3
import numpy as np
import pyarrow as pa
from PIL import Image

from benchmarks._common import Spent, report, spend, write_source
from infinity_assets.platform import Platform
from infinity_assets.quality.engines.loading import load
from infinity_assets.settings import Settings
from infinity_assets.similarity.exchanges import Exchanges
from infinity_assets.similarity.signature import Signature, pack
from infinity_assets.similarity.texts import conversation_of, text_signatures
from infinity_assets.stages.duplicate_ledger.schema import DUPLICATE_LEDGER
from infinity_assets.stages.duplicate_ledger.stage import materialize_duplicate_ledger
from infinity_assets.stages.images.schema import IMAGES
from infinity_assets.stages.unified.schema import UNIFIED
from infinity_assets.store.tables import Store, TableSpec

TARGET_SHARE = 0.15  #: of computing all
TARGET_S = 10.0  #: CPU-seconds
QUESTIONS = 5  #: about each picture
SHARD_ROWS = 10_000
COPIES = 200  #: one picture in so many is a near copy of the one before
NOTHING = "nothing"  #: in place of a source: the process ends when it could begin
WORDS = ["harbour", "boats", "stone", "quay", "gulls", "crates", "market", "roofs", "cart", "shade", "street"]


def main() -> None:
    """Print each run and, last, one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--samples", type=int, nargs="+", default=[20_000, 200_000], help="before one per cent arrives"
    )
    parser.add_argument("--run", nargs=2, metavar=("HOME", "SOURCE"), help="compute the ledger once, and end")
    args = parser.parse_args()
    if args.run:
        _ledger(Path(args.run[0]), args.run[1])
        return
    figures: dict[str, float] = {}
    for count in sorted(args.samples):
        with tempfile.TemporaryDirectory() as folder:
            last = _measure(Path(folder), count)
        figures |= {f"{name}_{count}": value for name, value in last.items()}
        print(f"{count:,} samples: {last}", flush=True)
    why = (
        ""
        if last["equal_to_anew"]
        else "the slices differ from those computed from nothing, or a run failed; "
    )
    if last["more_share"] > TARGET_SHARE or last["more_cpu_s"] > TARGET_S:
        why += f"one per cent costs {last['more_share']:.1%} of all and {last['more_cpu_s']:.1f} CPU-seconds"
    target = f"at most {TARGET_SHARE:.0%} of computing all, and {TARGET_S:.0f} CPU-seconds"
    report("ledger_growth", figures, target, not why, why)


def _measure(home: Path, count: int) -> dict[str, float]:
    """What all cost and what one per cent more costs."""
    more = max(QUESTIONS, count // 100)
    _publish(home, "many", 0, count)
    start = _spend(home, NOTHING)
    whole = _spend(home, "many")
    _publish(home, "more", count, more)
    grown = _spend(home, "more")
    kept = list((home / "store" / "_ledger").iterdir())
    remembered = sum(path.stat().st_size for path in kept)
    after = _versions(home)
    for path in kept:
        path.unlink()
    anew = _spend(home, "more")
    same = _versions(home) == after and start.code == whole.code == grown.code == anew.code == 0
    share = (grown.cpu_s - start.cpu_s) / (whole.cpu_s - start.cpu_s)
    return {
        "samples_added": more,
        "start_cpu_s": round(start.cpu_s, 2),
        **whole.figures("all_"),
        **grown.figures("more_"),
        **anew.figures("anew_"),
        "more_share": round(share, 3),
        "more_share_with_start": round(grown.cpu_s / whole.cpu_s, 3),
        "remembered_bytes_a_sample": round(remembered / (count + more)),
        "equal_to_anew": same,
    }


def _spend(home: Path, source: str) -> Spent:
    spent = spend([sys.executable, "-m", "benchmarks.ledger_growth", "--run", home, source])
    print(f"{source}: {spent.figures()} {spent.output.strip()[-300:]}", flush=True)
    return spent


def _platform(home: Path) -> Platform:
    return Platform(Settings(home=home, catalogue=home / "catalogue"))


def _ledger(home: Path, source: str) -> None:
    if source == NOTHING:
        # As the ledger does when it opens the first table, and when it judges the first rows.
        import_module("lance")
        if _platform(home).settings.contracts == "great_expectations":
            load()
        return
    own, others = materialize_duplicate_ledger(_platform(home), source, "benchmark")
    print(json.dumps({"notes": dict(own.notes), "others": sorted(others)}))


def _versions(home: Path) -> dict[str, str]:
    platform = _platform(home)
    return {n: platform.store.require(DUPLICATE_LEDGER, n).data_version for n in platform.catalogue}


def _publish(home: Path, source: str, start: int, count: int) -> None:
    """Make and publish ``images`` and ``unified`` of samples ``start`` to ``start + count``."""
    write_source(home / "catalogue", source, home, {"format": "alpaca"})
    store = _platform(home).store
    numbers = np.arange(start, start + count)
    pictures = np.unique(numbers // QUESTIONS)
    _commit(store, IMAGES, source, [_images(part) for part in _parts(pictures)])
    _commit(store, UNIFIED, source, [_unified(source, part) for part in _parts(numbers)])


def _parts(numbers: np.ndarray) -> list[np.ndarray]:
    return np.array_split(numbers, max(1, len(numbers) // SHARD_ROWS))


def _commit(store: Store, spec: TableSpec, source: str, tables: list[pa.Table]) -> None:
    transaction = store.begin(spec, source)
    stats = [{"verdicts": {"keep": table.num_rows}} for table in tables]
    shards = [
        transaction.stage(str(i), table, stat)
        for i, (table, stat) in enumerate(zip(tables, stats, strict=True))
    ]
    transaction.commit(shards, run_id="benchmark", inputs={})


def _table(spec: TableSpec, rows: list[dict[str, object]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=spec.schema)


def _hex(*what: object) -> str:
    return blake3.blake3(repr(what).encode()).hexdigest(16)


@cache
def _drawing(number: int) -> tuple[bytes, bytes]:
    """A small PNG and its signature."""
    pixels = np.random.default_rng(number % 97).integers(0, 255, (48, 64), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "png")
    return out.getvalue(), pack(Signature(64, 48, pixels, None))


def _images(numbers: np.ndarray) -> pa.Table:
    rows: list[dict[str, object]] = []
    for number in numbers.tolist():
        copy = number % COPIES == 1
        like = number - 1 if copy else number
        data, signature = _drawing(like % 97)
        phash = int.from_bytes(blake3.blake3(b"%d" % like).digest(8), "big") ^ (7 if copy else 0)
        rows.append(
            {
                "image_id": _hex("image", number),
                "bytes": data,
                "byte_length": len(data),
                "format": "png",
                "width": 64,
                "height": 48,
                "phash": phash.to_bytes(8, "big"),
                "pixel_hash": _hex("pixels", number),
                "low_detail": False,
                "signature": signature,
                "verdict": "keep",
            }
        )
    return _table(IMAGES, rows)


def _unified(source: str, numbers: np.ndarray) -> pa.Table:
    cut, rows, conversations = Exchanges(), [], []
    for number in numbers.tolist():
        rng = np.random.default_rng(number)
        words = " ".join(WORDS[i] for i in rng.integers(0, len(WORDS), 40 if number % 5 == 0 else 4))
        asked, answer = f"What is in number {number}?", f"{words} {number}"
        exchanges = cut.of([("user", asked), ("assistant", answer)])
        conversations.append(conversation_of(exchanges))
        image = _hex("image", number // QUESTIONS)
        rows.append(
            {
                "sample_id": f"{source}-{_hex('sample', number)}",
                "source": source,
                "record_hash": _hex("record", number),
                "locator": {"file": "made", "row": number},
                "turns": [{"role": "user", "text": f"<image>{asked}"}, {"role": "assistant", "text": answer}],
                "media": [{"kind": "image", "ref": "made", "embedded": True, "image_id": image}],
                "annotations": [],
                "extras": "{}",
                "upstream": "{}",
                "licence": "CC0-1.0",
                "text_hash": _hex("text", asked, answer),
                "question_hashes": [cut.fingerprints(e)[0] for e in exchanges],
                "turn_hashes": [cut.fingerprints(e)[1] for e in exchanges],
                "marker_added": False,
                "image_ids": [image],
                "content_hash": _hex("content", asked, answer, image),
                "verdict": "keep",
            }
        )
    for row, signature in zip(rows, text_signatures(conversations), strict=True):
        row["text_signature"] = signature
    return _table(UNIFIED, rows)


if __name__ == "__main__":
    main()
