"""Inputs of any size, made anew for each run: equal arguments give equal bytes."""

from __future__ import annotations

import json
import random
from pathlib import Path

import cv2
import numpy as np

WORDS = [
    "the",
    "of",
    "and",
    "to",
    "in",
    "a",
    "is",
    "that",
    "for",
    "it",
    "as",
    "was",
    "with",
    "be",
    "by",
    "on",
    "not",
    "he",
    "his",
    "but",
    "at",
    "are",
    "this",
    "have",
    "from",
    "or",
    "had",
    "an",
    "they",
    "which",
    "one",
    "you",
    "were",
    "all",
    "her",
    "she",
    "there",
    "would",
    "their",
    "we",
    "him",
    "been",
    "has",
    "when",
    "who",
    "will",
    "no",
    "more",
    "if",
    "out",
    "so",
    "up",
    "said",
    "what",
    "its",
    "about",
    "than",
    "into",
    "them",
    "can",
    "only",
    "other",
    "time",
    "new",
    "some",
    "could",
    "these",
    "two",
    "may",
    "first",
    "then",
    "do",
]
CLASSES = 100
SIDE = 64


def write_texts(path: Path, start: int, count: int) -> None:
    """Append instructions of 10 and answers of 40 words, one JSON object a line, all distinct."""
    with path.open("a", encoding="utf-8") as lines:
        for i in range(start, start + count):
            words = random.Random(i).choices(WORDS, k=50)
            row = {"instruction": f"{' '.join(words[:10])} {i}?", "output": " ".join(words[10:])}
            lines.write(json.dumps(row) + "\n")


def write_images(folder: Path, count: int) -> None:
    """Distinct pictures of 64 x 64, two JPEGs for each PNG, in 100 folders named as classes."""
    for label in range(CLASSES):
        (folder / f"class_{label:03d}").mkdir()
    for i in range(count):
        coarse = np.random.default_rng(i).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        picture = cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
        suffix = ".png" if i % 3 == 0 else ".jpg"
        cv2.imwrite(str(folder / f"class_{i % CLASSES:03d}" / f"{i:07d}{suffix}"), picture)
