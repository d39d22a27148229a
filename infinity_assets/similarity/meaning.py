"""Whether two texts that are alike say the same: by the words in which they differ (``telling.yaml``)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
import numpy.typing as npt

from infinity_assets.similarity.shingles import Hashes, Ragged, contains, mixed, text_hashes, word_hashes

#: Raised when the rule changes, or the words that it goes by.
MEANING_VERSION = 1


def question_meaning(words: Ragged, figures: Hashes) -> Hashes:
    """What two long questions that are alike share if they ask the same: all but plain words. ``(texts,)``.

    Args:
        words: of each text in normal form.
        figures: one hash for the figures of each text.
    """
    return _meaning(words, ~contains(_words().plain, words.values), figures)


def answer_meaning(words: Ragged, figures: Hashes) -> Hashes:
    """What two long answers that are alike share if they say the same: telling words. ``(texts,)``."""
    return _meaning(words, contains(_words().telling, words.values), figures)


def _meaning(words: Ragged, kept: npt.NDArray[np.bool_], figures: Hashes) -> Hashes:
    before = np.concatenate((np.zeros(1, np.int64), np.cumsum(kept, dtype=np.int64)))
    return mixed(text_hashes(Ragged(words.values[kept], before[words.starts])) + mixed(figures))


@dataclass(frozen=True, slots=True)
class _Words:
    telling: Hashes  #: sorted
    plain: Hashes


@cache
def _words() -> _Words:
    import yaml

    read = yaml.safe_load((files(__package__) / "telling.yaml").read_text("utf-8"))
    telling = read["telling"] + read["telling_characters"]
    plain = read["plain"] + read["plain_characters"]
    return _Words(*(np.unique(word_hashes([text]).values) for text in (telling, plain)))
