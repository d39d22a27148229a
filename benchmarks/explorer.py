"""How long a page of the explorer takes over simulated tables of many sources, and how its index grows.

Run: ``python -m benchmarks.explorer [--sources N] [--rows N]``. The target is a page under 3 s at 200,000
samples: the default. Samples are drawn: conversations of Zipf's words, tags, types, hashes of pictures, one
in ten dropped. Each view is asked for in a server that runs, once cold and then warm; then one source is
published again, and the next page waits for it.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from starlette.testclient import TestClient

from benchmarks._common import report
from benchmarks.passport import SHARD_ROWS, Columns, filled, hex_ids, publish
from infinity_assets.preview.app import create_app
from infinity_assets.stages.deduped.schema import DEDUPED
from infinity_assets.stages.filtered.schema import FILTERED
from infinity_assets.stages.images.schema import IMAGES
from infinity_assets.stages.tagged.schema import TAGGED
from infinity_assets.stages.unified.schema import UNIFIED
from infinity_assets.store.tables import Store

TARGET_S: Final = 3.0
TARGET_SAMPLES: Final = 200_000
WORDS: Final = 30_000  #: of the vocabulary
TAGS: Final = 2_000
TYPES: Final = ("what", "describe", "yes_no", "counting", "open")
DROPPED: Final = 10  #: one sample in so many
LOOKS: Final = 5


def main() -> None:
    """Print what is built, then, last, one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sources", type=int, default=10)
    parser.add_argument("--rows", type=int, default=20_000, help="samples of a source")
    args = parser.parse_args()
    samples = args.sources * args.rows
    with tempfile.TemporaryDirectory() as folder:
        store, index = Store(f"{folder}/store"), Path(folder) / "index"
        names = [f"source_{i:03d}" for i in range(args.sources)]
        ids = [build(store, name, args.rows, seed) for seed, name in enumerate(names)]
        app = create_app(store, index=index)
        began, spent = time.perf_counter(), time.process_time()
        app.state.samples.refresh()
        figures: dict[str, Any] = {
            "samples": samples,
            "sources": args.sources,
            "index_s": round(time.perf_counter() - began, 1),
            "index_cpu_s": round(time.process_time() - spent, 1),
            "index_mb": round(sum(p.stat().st_size for p in index.rglob("*") if p.is_file()) / 1e6),
        }
        print(f"indexed {samples:,} samples in {figures['index_s']} s, {figures['index_mb']} MB", flush=True)
        with TestClient(app, base_url="http://localhost") as client:
            slowest = 0.0
            for view, address in views(names, ids).items():
                took = [timed(client, address) for _ in range(LOOKS)]
                figures[f"{view}_ms"] = round(statistics.median(took) * 1e3)
                figures[f"{view}_first_ms"] = round(took[0] * 1e3)
                slowest = max(slowest, *took)
            build(store, names[0], args.rows, len(names))
            time.sleep(2.1)
            began = time.perf_counter()
            while "being indexed" in client.get("/explore").text:
                time.sleep(0.1)
            figures["grown_s"] = round(time.perf_counter() - began, 2)
    figures["slowest_s"] = round(slowest, 2)
    small = "" if samples >= TARGET_SAMPLES else f"{samples:,} samples, the target is for {TARGET_SAMPLES:,}"
    target = f"every page under {TARGET_S:.0f} s at {TARGET_SAMPLES:,} samples"
    report("explorer", figures, target, None if small else slowest < TARGET_S, small)


def views(names: list[str], ids: list[list[str]]) -> dict[str, str]:
    """Addresses of what people ask for, by a name."""
    return {
        "everything": "/explore",
        "far_page": "/explore?page=150",
        "reason": "/explore?stage=filtered&verdict=drop&reason=blurry",
        "tag_and_type": "/explore?stage=filtered&verdict=keep&tag=tag_7&question_type=what",
        "compare": f"/explore?compare=1&source={names[-1]}",
        "common_words": "/explore?text=w1+w2",
        "rare_word": "/explore?text=w29000",
        "words_and_filter": "/explore?text=w3&verdict=drop&language=zh",
        "near": f"/explore?near={ids[0][5]}",
    }


def timed(client: TestClient, address: str) -> float:
    """Seconds until a page is there.

    Raises:
        RuntimeError: if it shows nothing: that would be fast for nothing.
    """
    began = time.perf_counter()
    page = client.get(address)
    took = time.perf_counter() - began
    if page.status_code != 200 or 'class="sample"' not in page.text or "being indexed" in page.text:
        raise RuntimeError(f"{address}: {page.status_code}, no card")
    return took


def build(store: Store, name: str, rows: int, seed: int) -> list[str]:
    """The tables of a source; gives its sample ids."""
    rng = np.random.default_rng(seed)
    ids, images = hex_ids(rng, rows, f"{name}-"), hex_ids(rng, rows)
    tables: dict[str, list[pa.Table]] = {
        spec.name: [] for spec in (UNIFIED, IMAGES, DEDUPED, TAGGED, FILTERED)
    }
    for start in range(0, rows, SHARD_ROWS):
        part, shown = ids.slice(start, SHARD_ROWS), images.slice(start, SHARD_ROWS)
        count = len(part)
        kept = {"sample_id": part, "verdict": ["keep"] * count}
        lost = np.arange(count) % DROPPED == 0
        decided = {
            "sample_id": part,
            "verdict": np.where(lost, "drop", "keep").tolist(),
            "reason": [
                ("blurry" if i % 3 else "repeated_text") if gone else None for i, gone in enumerate(lost)
            ],
        }
        tables[UNIFIED.name].append(filled(UNIFIED, count, kept | said(rng, name, shown)))
        tables[IMAGES.name].append(filled(IMAGES, count, pictures(rng, shown)))
        tables[DEDUPED.name].append(filled(DEDUPED, count, kept))
        tables[TAGGED.name].append(filled(TAGGED, count, kept | tags(rng, count)))
        tables[FILTERED.name].append(filled(FILTERED, count, decided))
    for spec in (UNIFIED, IMAGES, DEDUPED, TAGGED, FILTERED):
        publish(store, spec, name, tables[spec.name], {}, notes={"seed": seed})
    return [str(i) for i in ids.slice(0, 10).to_pylist()]


def said(rng: np.random.Generator, name: str, images: pa.Array) -> Columns:
    """A question of some 10 words and an answer of some 40, about one picture."""
    count = len(images)
    texts = []
    for length in (10, 40):
        drawn = rng.zipf(1.3, (count, length)) % WORDS
        texts.append([" ".join(f"w{n}" for n in row) for row in drawn.tolist()])
    turns = [
        [{"role": "user", "text": f"<image>\n{question}"}, {"role": "assistant", "text": answer}]
        for question, answer in zip(*texts, strict=True)
    ]
    ones: npt.NDArray[np.int32] = np.arange(count + 1, dtype=np.int32)
    return {
        "source": [name] * count,
        "locator": [{"file": "a.jsonl", "row": i} for i in range(count)],
        "turns": turns,
        "image_ids": pa.ListArray.from_arrays(pa.array(ones), images),
        "licence": ["CC0-1.0" if i % 4 else "CC-BY-4.0" for i in range(count)],
        "language": ["en" if i % 5 else "zh" for i in range(count)],
    }


def pictures(rng: np.random.Generator, images: pa.Array) -> Columns:
    """Random hashes: nothing is near by itself."""
    count = len(images)
    return {
        "image_id": images,
        "dhash": [rng.bytes(32) for _ in range(count)],
        "phash": [rng.bytes(8) for _ in range(count)],
        "verdict": ["keep"] * count,
    }


def tags(rng: np.random.Generator, count: int) -> Columns:
    """Six tags and a type each."""
    drawn = rng.zipf(1.3, (count, 6)) % TAGS
    return {
        "image_tags": [sorted({f"tag_{n}" for n in row}) for row in drawn.tolist()],
        "question_type": [TYPES[i % len(TYPES)] for i in range(count)],
    }


if __name__ == "__main__":
    main()
