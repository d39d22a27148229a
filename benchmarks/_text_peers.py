"""Near texts as other tools find them; runs in the environment of one of them, which has nothing of ours.

Run: ``python _text_peers.py TOOL DOCUMENTS.jsonl FOLDER``. Writes the cluster of each document to
``clusters.json`` in the folder. Both run with their own defaults but for runs of three words and a threshold
of .8, on two processes where they can use them. datatrove gets its whitespace tokenizer, the fastest that it
has.
"""
# ruff: noqa: PLC0415 - each is there in its own environment only

from __future__ import annotations

import json
import struct
import sys
from pathlib import Path


def _datatrove(documents: Path, folder: Path) -> list[int]:
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupSignature
    from datatrove.pipeline.dedup.minhash import MinhashConfig
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.utils.word_tokenizers import WhitespaceTokenizer

    config = MinhashConfig(n_grams=3)
    steps = [
        [
            JsonlReader(str(documents.parent), glob_pattern=documents.name),
            MinhashDedupSignature(str(folder / "signatures"), config, language=WhitespaceTokenizer()),
        ],
        [MinhashDedupBuckets(str(folder / "signatures"), str(folder / "buckets"), config=config)],
        [
            MinhashDedupCluster(
                str(folder / "buckets"), str(folder / "clusters"), config=config, save_cluster_id=True
            )
        ],
    ]
    for number, (step, tasks) in enumerate(zip(steps, (1, config.num_buckets, 1), strict=True)):
        LocalPipelineExecutor(
            step, tasks=tasks, workers=min(tasks, 2), logging_dir=str(folder / f"logs{number}")
        ).run()
    count = sum(1 for _ in documents.open("rb"))
    found = list(range(-1, -count - 1, -1))  # a cluster of its own
    for path in (folder / "clusters").glob("*.clusters"):
        for document, cluster in struct.iter_unpack("<II", path.read_bytes()):
            found[document] = cluster
    return found


def _text_dedup(documents: Path, folder: Path) -> list[int]:
    from text_dedup import minhash

    options = {
        "path": "json",
        "data_files": documents,
        "split": "train",
        "cache_dir": folder / "cache",
        "output": folder / "output",
        "column": "text",
        "ngram": 3,
        "min_length": 3,
        "threshold": 0.8,
        "num_proc": 2,
    }
    arguments = [str(part) for name, value in options.items() for part in (f"--{name}", value)]
    minhash.main(arguments, standalone_mode=False)
    count = sum(1 for _ in documents.open("rb"))
    return [int(minhash.uf.find(i)) for i in range(count)]


if __name__ == "__main__":
    tool, documents, folder = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    clusters = {"datatrove": _datatrove, "text-dedup": _text_dedup}[tool](documents, folder)
    (folder / "clusters.json").write_text(json.dumps(clusters))
