"""Whether two texts that are alike say the same: by the words in which they differ (``telling.yaml``)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

#: Raised when the rule changes, or the words that it goes by.
MEANING_VERSION = 1

#: A number with its sign and fraction, a word (a character where there are no spaces), or a sign.
_TOKEN = re.compile(
    r"(?:(?<![\w.)])-)?\d+(?:[.,]\d+)*"
    r"|[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
    r"|[^\W\d_]+|[-+*/=<>^%$€£¥°±×÷≤≥≠√∞∑∫∈∪∩|\\{}\[\]()_]"
)
#: Signs that punctuate prose as well.
_PROSE_SIGNS = frozenset("-()[]_/*")


def same_question(left: str, right: str) -> bool:
    """Whether two long, normal questions that are alike ask the same: all but plain words are equal."""
    plain = _words().plain
    a, b = ([token for token in _tokens(text) if token not in plain] for text in (left, right))
    return a == b


def same_answer(left: str, right: str) -> bool:
    """Whether two long, normal answers that are alike say the same: their telling words are equal."""
    a, b = ([token for token in _tokens(text) if _tells(token)] for text in (left, right))
    return a == b


def _tells(token: str) -> bool:
    words = _words()
    if token in words.telling or token[-1].isdigit():
        return True
    return not token[0].isalpha() and token not in _PROSE_SIGNS


def _tokens(text: str) -> Iterator[str]:
    return (match.group() for match in _TOKEN.finditer(text))


@dataclass(frozen=True, slots=True)
class _Words:
    telling: frozenset[str]
    plain: frozenset[str]


@cache
def _words() -> _Words:
    import yaml

    read = yaml.safe_load((files(__package__) / "telling.yaml").read_text("utf-8"))
    return _Words(
        frozenset(read["telling"].split()) | frozenset("".join(read["telling_characters"].split())),
        frozenset(read["plain"].split()) | frozenset("".join(read["plain_characters"].split())),
    )
