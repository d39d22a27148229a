"""Near texts among 20,000 documents made of real ones, beside the MinHash of datatrove and of text-dedup.

Run: ``python -m benchmarks.dedup_texts [--data DIR] [--documents N]``. Each real text of 30 words or more
stands there once, and in copies with 0 to 30 in 100 words changed, left out or put in (seeded). What is near
has a Jaccard similarity of .8 over runs of three words, found by comparing all pairs exactly. Each side is a
process of its own that reads the documents and writes what it found; CPU is of the process and all below it.
Peers are installed under ``.envs`` where they are not there. They give clusters: all pairs within one count
as found. Ours verifies every pair, and tells which say the same (:mod:`infinity_assets.similarity.texts`):
that share is a figure of its own, as is what a 64-bit SimHash within 3 bits would find of the same pairs.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from benchmarks._common import REAL_DATA, REPOSITORY, Spent, install_peer, report, spend
from infinity_assets.similarity import minhash
from infinity_assets.similarity.normalize import normal_text
from infinity_assets.similarity.shingles import ngram_hashes, word_hashes
from infinity_assets.similarity.texts import (
    MIN_WORDS,
    NEAR,
    SHINGLE_WORDS,
    Conversation,
    near_text_pairs,
    text_signatures,
)

SOURCES = (
    "instruct_demo/alpaca_en_demo.json",
    "instruct_demo/alpaca_zh_demo.json",
    "instruct_demo/glaive_toolcall_en_demo.json",
    "instruct_demo/v1_sft_demo.jsonl",
    "llava_json_small/single_image.json",
    "llava_json_small/multi_images.json",
)
PEERS = {
    "datatrove": ("datatrove==0.10.1", "spacy", "xxhash<4", "orjson", "regex", "tokenizers", "nltk"),
    "text-dedup": ("text-dedup==0.4.0",),
}
PEER_LIMIT_S = 900
TARGET_RATIO = 5.0
CHANGED = (0.0, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.3)  #: shares of words
ROWS_AT_ONCE = 500
SIMHASH_RADIUS = 3
HAN = range(0x4E00, 0xA000)

Pairs = set[tuple[int, int]]


def main() -> None:
    """Print a table and, last, one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=REAL_DATA, help="folder of the real data")
    parser.add_argument("--documents", type=int, default=20_000)
    parser.add_argument("--ours", type=Path, nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.ours:
        _find(*args.ours)
        return
    target = f"at least {TARGET_RATIO:g} times less CPU time than datatrove and than text-dedup"
    missing = [name for name in SOURCES if not (args.data / name).is_file()]
    if missing:
        report("dedup_texts", {}, target, None, f"no {', '.join(missing)} in {args.data}; give --data")
        return
    with tempfile.TemporaryDirectory() as folder:
        temporary = Path(folder)
        texts = _documents(args.data, args.documents)
        documents = temporary / "documents.jsonl"
        documents.write_text("".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts))
        ours = spend(
            [sys.executable, "-m", "benchmarks.dedup_texts", "--ours", documents, temporary / "ours"]
        )
        if ours.code != 0:
            raise RuntimeError(ours.output[-2000:])
        found = json.loads((temporary / "ours").read_text())
        sides = {"ours": (ours, {(a, b) for a, b, _ in found})}
        absent = []
        for peer in PEERS:
            spent, pairs = _run_peer(peer, documents, temporary)
            if isinstance(pairs, str):
                absent.append(f"{peer}: {pairs}")
            else:
                sides[peer] = (spent, pairs)
        truth = _truth(texts)
    figures: dict[str, Any] = {"documents": len(texts), "near_pairs": len(truth)}
    chinese = {i for i, text in enumerate(texts) if any(ord(c) in HAN for c in text)}
    print(f"{'':<12}{'CPU s':>8}{'recall':>9}{'recall zh':>11}{'precision':>11}")
    for name, (spent, pairs) in sides.items():
        quality = _quality(pairs, truth, chinese)
        figures[name] = {**spent.figures(), **quality}
        shown = (f"{quality[key]:>{width}.4f}" for key, width in (("recall", 9), ("recall_zh", 11)))
        print(f"{name:<12}{spent.cpu_s:>8.1f}{''.join(shown)}{quality['precision']:>11.4f}")
    figures["of_ours_near_in_meaning"] = round(sum(near for _, _, near in found) / max(len(found), 1), 4)
    figures["recall_of_simhash_64_within_3"] = _simhash_recall(texts, truth)
    ratios = {peer: sides[peer][0].cpu_s / ours.cpu_s for peer in PEERS if peer in sides}
    figures["cpu_ratio"] = {peer: round(ratio, 1) for peer, ratio in ratios.items()}
    slow = [f"{peer}: {ratio:.1f} times" for peer, ratio in ratios.items() if ratio < TARGET_RATIO]
    met = None if absent and not slow else not slow
    report("dedup_texts", figures, target, met, "; ".join([*slow, *absent]))


def _documents(data: Path, count: int) -> list[str]:
    """Real texts of 30 words and more, and seeded copies of them, shuffled."""
    real = list(dict.fromkeys(text for name in SOURCES for text in _texts(data / name)))
    lengths = word_hashes([normal_text(text) for text in real]).lengths
    base = [text for text, words in zip(real, lengths.tolist(), strict=True) if words >= MIN_WORDS]
    rng = random.Random(0)
    made = base[:count]
    while len(made) < count:
        made.append(_changed(base[len(made) % len(base)], rng))
    rng.shuffle(made)
    return made


def _texts(path: Path) -> Iterator[str]:
    """Each record's strings as one text, whatever its format."""
    text = path.read_text("utf-8")
    records = map(json.loads, text.splitlines()) if path.suffix == ".jsonl" else json.loads(text)
    for record in records:
        yield "\n".join(s for s in _strings(record) if s.strip())


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _strings(item)


def _changed(text: str, rng: random.Random) -> str:
    """A copy with some of its words (characters, in Chinese) replaced, left out or doubled."""
    gap = "" if sum(ord(c) in HAN for c in text) > len(text) // 4 else " "
    words = list(text) if not gap else text.split(" ")
    for _ in range(round(rng.choice(CHANGED) * len(words))):
        at = rng.randrange(len(words))
        words[at : at + 1] = rng.choice(([rng.choice(words)], [], [words[at], rng.choice(words)]))
        words = words or ["x"]
    return gap.join(words)


def _find(documents: Path, output: Path) -> None:
    """Our side: read, normalize, sign, search, write."""
    with documents.open("rb") as lines:
        texts = [Conversation("", normal_text(orjson.loads(line)["text"])) for line in lines]
    signed = text_signatures(texts)
    rows = [i for i, signature in enumerate(signed) if signature is not None]
    signatures = minhash.unpack([s for s in signed if s is not None])
    found = near_text_pairs(signatures, lambda wanted: [texts[rows[i]] for i in wanted.tolist()])
    columns = (found.left.tolist(), found.right.tolist(), found.near.tolist())
    output.write_bytes(orjson.dumps([(rows[a], rows[b], near) for a, b, near in zip(*columns, strict=True)]))


def _run_peer(peer: str, documents: Path, temporary: Path) -> tuple[Spent, Pairs | str]:
    """What a peer spent and the pairs within its clusters, or why there are none."""
    home = REPOSITORY / ".envs" / peer
    nothing = Spent(0, 0, 0, 0, "", 1)
    refused = install_peer(home, PEERS[peer], (), PEER_LIMIT_S)
    if refused is not None:
        return nothing, refused
    folder = temporary / peer
    folder.mkdir()
    script = Path(__file__).parent / "_text_peers.py"
    environment = {
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_CACHE": str(folder / "hf"),
        "HF_HOME": str(folder / "hf"),
    }
    spent = spend(
        [home / "bin" / "python", script, peer, documents, folder], cwd=folder, environment=environment
    )
    if spent.code != 0:
        return nothing, f"failed: {spent.output[-1000:]}"
    clusters: dict[int, list[int]] = defaultdict(list)
    for document, cluster in enumerate(json.loads((folder / "clusters.json").read_text())):
        clusters[cluster].append(document)
    return spent, {pair for members in clusters.values() for pair in combinations(sorted(members), 2)}


def _sets(texts: Sequence[str]) -> list[np.ndarray]:
    runs = ngram_hashes(word_hashes([normal_text(text) for text in texts]), SHINGLE_WORDS)
    return [np.unique(runs.row(i)) for i in range(len(texts))]


def _truth(texts: Sequence[str]) -> Pairs:
    """Every near pair: all pairs that share a run are counted out exactly."""
    from scipy.sparse import csr_matrix  # noqa: PLC0415 - of the development tools

    sets = _sets(texts)
    sizes = np.array([len(s) for s in sets])
    _, columns = np.unique(np.concatenate(sets), return_inverse=True)
    starts = np.concatenate(([0], np.cumsum(sizes)))
    matrix = csr_matrix((np.ones(len(columns), np.float32), columns, starts))
    found: Pairs = set()
    for at in range(0, len(sets), ROWS_AT_ONCE):
        common = (matrix[at : at + ROWS_AT_ONCE] @ matrix.T).tocoo()
        left, right = common.row + at, common.col
        near = common.data >= NEAR * (sizes[left] + sizes[right] - common.data)
        keep = near & (left < right)
        found.update(zip(left[keep].tolist(), right[keep].tolist(), strict=True))
    return found


def _quality(pairs: Pairs, truth: Pairs, chinese: set[int]) -> dict[str, float]:
    of_chinese = {pair for pair in truth if pair[0] in chinese}
    return {
        "recall": round(len(pairs & truth) / max(len(truth), 1), 4),
        "recall_zh": round(len(pairs & of_chinese) / max(len(of_chinese), 1), 4),
        "precision": round(len(pairs & truth) / max(len(pairs), 1), 4),
    }


def _simhash_recall(texts: Sequence[str], truth: Pairs) -> float:
    """The share of near pairs within 3 bits of a 64-bit SimHash (Charikar 2002) of the same runs."""
    bits = np.arange(64, dtype=np.uint64)
    weights = np.uint64(1) << bits
    hashes = np.array(
        [
            (((s[:, None] >> bits) & np.uint64(1)).sum(axis=0, dtype=np.int64) * 2 > len(s)) @ weights
            for s in _sets(texts)
        ],
        np.uint64,
    )
    left, right = np.array(sorted(truth)).T
    apart = np.bitwise_count(hashes[left] ^ hashes[right])
    return round(float((apart <= SIMHASH_RADIUS).mean()), 4)


if __name__ == "__main__":
    main()
