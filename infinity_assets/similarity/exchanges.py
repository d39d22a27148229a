"""A conversation as its exchanges: what was asked, what was answered, and a fingerprint of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import blake3

from infinity_assets.similarity.normalize import NORMAL_VERSION, normal_question, normal_text, prompts_version

#: Bytes of a fingerprint: BLAKE3-128.
FINGERPRINT_BYTES = 16


@dataclass(frozen=True, slots=True)
class Exchange:
    """What users said in a row, and what the assistant and its tools said up to the next user."""

    question: str  #: in normal form; empty where an assistant begins
    answers: tuple[str, ...]  #: in normal form, one for each turn; empty where nobody answers


class Exchanges:
    """Cuts conversations into exchanges; normalizes and hashes each distinct text once.

    It keeps what it has seen: use one for each shard.
    """

    def __init__(self) -> None:
        self._questions: dict[str, str] = {}
        self._answers: dict[str, str] = {}
        self._hashes: dict[Exchange, tuple[bytes, bytes]] = {}
        self._version = f"{NORMAL_VERSION}.{prompts_version()}".encode()

    def of(self, turns: Sequence[tuple[str, str]]) -> list[Exchange]:
        """The exchanges of a conversation, in order; system prompts are left out.

        Args:
            turns: role (system, user, assistant, tool) and text of each.
        """
        found: list[Exchange] = []
        asked: list[str] = []
        answers: list[str] = []
        for role, text in turns:
            if role == "user":
                if answers:
                    found.append(self._exchange(asked, answers))
                    asked, answers = [], []
                asked.append(text)
            elif role != "system":
                answers.append(text)
        if asked or answers:
            found.append(self._exchange(asked, answers))
        return found

    def fingerprints(self, exchange: Exchange) -> tuple[bytes, bytes]:
        """BLAKE3-128 of the question, and of question and answers; they hold for one version of the form."""
        if (known := self._hashes.get(exchange)) is None:
            question = self._hash(exchange.question)
            known = question, self._hash(exchange.question, *exchange.answers)
            self._hashes[exchange] = known
        return known

    def _exchange(self, asked: list[str], answers: list[str]) -> Exchange:
        question = "\n".join(asked)
        if (normal := self._questions.get(question)) is None:
            normal = self._questions[question] = normal_question(question)
        return Exchange(normal, tuple(map(self._answer, answers)))

    def _answer(self, text: str) -> str:
        if (normal := self._answers.get(text)) is None:
            normal = self._answers[text] = normal_text(text)
        return normal

    def _hash(self, *texts: str) -> bytes:
        parts = [text.encode() for text in texts]
        lengths = b",".join(b"%d" % len(part) for part in parts)
        return blake3.blake3(b"/".join([self._version, lengths, *parts])).digest(FINGERPRINT_BYTES)
