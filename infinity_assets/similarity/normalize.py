"""What remains of a question or an answer when two are compared: what it says, not how it is written.

Unicode's compatibility case folding (UAX #31, NFKC_Casefold), one space for all white space, no media
markers, no punctuation at the ends. A question also loses the instructions that datasets put around it
(``prompts.yaml``), and its choices are lettered in one way. All functions are idempotent and take time in
proportion to the text.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

#: Raised when the normal form of any text changes; the version of ``prompts.yaml`` counts on its own.
NORMAL_VERSION = 1

#: Combining marks in a row that are kept. Normalizing takes time in the square of the run (UAX #15 bounds it
#: by 30 in Stream-Safe Text Format): minutes for 400,000 marks.
MAX_MARKS = 30

#: Characters up to which a text is normalized as it is: 20 ms at worst, and looking for runs costs more.
SHORT_TEXT = 4096

_MARKER = re.compile("<(?:image|video|audio)>")
#: Characters that show nothing: joiners, marks of direction, variation selectors, tags.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\U000e0000-\U000e0fff]"
)
_NUL = "\0"
_END = ".,;:?。、 "  # "!" too, but for 5!
_START = ",;:。、 "
_AFTER_INSTRUCTION = _END + "!"
_QUOTED = {'"': '"', "'": "'", "“": "”", "‘": "’", "«": "»", "「": "」", "『": "』", "`": "`"}
_CHOICE = re.compile(r"(?:[.,;]? |^)\(?([a-z])(?:[.:、]|\)[.:]?)(?=[ \u3040-\u9fff])")


def normal_text(text: str) -> str:
    """A text folded, as it stands in any turn; punctuation inside of it stays."""
    folded = _folded(text)
    bounds = _trimmed(folded, 0, len(folded))
    return folded[slice(*bounds)] if bounds else folded


def normal_question(text: str) -> str:
    """A question folded, without instructions on how to answer, its choices lettered ``a)``, ``b)``, ...

    The choices stay: other choices are another question. What is nothing but an instruction stays too.
    """
    found = _folded(text)
    while True:
        shorter = _stripped(_lettered(found))
        if shorter == found:
            return found
        found = shorter


def prompts_version() -> int:
    """The version of ``prompts.yaml``."""
    return _prompts().version


def _folded(text: str) -> str:
    if text.isascii():
        text = text.lower()
    else:
        text = _unmarked(text)
        while (folded := _fold_once(text)) != text:
            text = folded
        text = _unmarked(text)
    if "<" in text:
        text = _MARKER.sub(" ", text)
    return " ".join(text.replace(_NUL, " ").split())


def _fold_once(text: str) -> str:
    return _INVISIBLE.sub("", unicodedata.normalize("NFKC", text).casefold())


def _unmarked(text: str) -> str:
    """A long text with at most 30 combining marks in a row; almost every text as it is."""
    return text if len(text) <= SHORT_TEXT else _mark_runs().sub(r"\1", text)


@cache
def combining_marks() -> str:
    """Every combining mark of Unicode."""
    return "".join(map(chr, filter(lambda c: unicodedata.combining(chr(c)), range(sys.maxunicode + 1))))


@cache
def _mark_runs() -> re.Pattern[str]:
    marks = combining_marks()
    return re.compile(f"([{marks}]{{{MAX_MARKS}}})[{marks}]+")


def _trimmed(text: str, start: int, end: int) -> tuple[int, int] | None:
    """Bounds without punctuation and quotes at the ends; None where nothing else is within."""
    while True:
        low, high = _unpunctuated(text, start, end)
        if low == high:
            return None
        closing = _QUOTED.get(text[low])
        quoted = closing == text[high - 1] and high - low > 2 and text.find(text[low], low + 1, high - 1) < 0
        lettered = high - low == 3 and text[low] == "(" and text[high - 1] == ")" and text[low + 1].isalnum()
        if quoted or lettered:
            low, high = low + 1, high - 1
        elif (low, high) == (start, end):
            return start, end
        start, end = low, high


def _unpunctuated(text: str, start: int, end: int) -> tuple[int, int]:
    while end > start:
        shouted = end
        while shouted > start and text[shouted - 1] == "!":
            shouted -= 1
        if shouted == end and text[end - 1] not in _END:
            break
        if shouted < end and shouted > start and text[shouted - 1].isdigit():
            break
        end = shouted if shouted < end else end - 1
    while start < end and text[start] in _START:
        start += 1
    return start, end


@dataclass(frozen=True, slots=True)
class _Prompts:
    """``prompts.yaml`` folded and indexed by the two characters at the end where each is looked for."""

    version: int
    starts: dict[str, tuple[str, ...]]
    ends: dict[str, tuple[str, ...]]
    before: tuple[str, ...]
    after: tuple[str, ...]
    quotes: tuple[str, ...]
    choices: tuple[str, ...]


@cache
def _prompts() -> _Prompts:
    import yaml

    read = yaml.safe_load((files(__package__) / "prompts.yaml").read_text("utf-8"))
    instructions = sorted({normal_text(line) for line in read["instructions"]}, key=lambda s: (-len(s), s))
    cues = {
        name: tuple(sorted(map(_folded, read[name]), key=lambda s: (-len(s), s)))
        for name in ("before", "after", "quotes", "choices")
    }
    return _Prompts(
        version=read["version"],
        starts=_by(instructions, slice(0, 2)),
        ends=_by(instructions, slice(-2, None)),
        **cues,
    )


def _by(texts: Iterable[str], part: slice) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for text in texts:
        found.setdefault(text[part], []).append(text)
    return {key: tuple(value) for key, value in found.items()}


def _stripped(text: str) -> str:
    """Without cues and instructions at its ends, and trimmed; as it is where nothing else remains."""
    start, end = 0, len(text)
    for quote in _prompts().quotes:
        at = text.find(quote, start, end)
        end = at if at > 0 else end
    while (shorter := _peeled(text, start, end)) != (start, end):
        start, end = shorter
    return text[start:end]


def _peeled(text: str, start: int, end: int) -> tuple[int, int]:
    """Bounds without one cue or instruction, or only trimmed where there is none. Copies nothing."""
    prompts = _prompts()
    if (length := _ending(text, start, end, prompts.after)) and _trimmed(text, start, end - length):
        return start, _spaceless_end(text, start, end - length)
    if (length := _beginning(text, start, end, prompts.before)) and _trimmed(text, start + length, end):
        return _spaceless_start(text, start + length, end), end
    start, end = _trimmed(text, start, end) or (start, end)
    sentences = prompts.ends.get(text[max(end - 2, start) : end], ())
    if (length := _ending(text, start, end, sentences)) and _trimmed(text, start, end - length):
        return start, _spaceless_end(text, start, end - length)
    sentences = prompts.starts.get(text[start : min(start + 2, end)], ())
    if length := _beginning(text, start, end, sentences):
        after = start + length
        while after < end and text[after] in _AFTER_INSTRUCTION:
            after += 1
        if _trimmed(text, after, end):
            return after, end
    return start, end


def _ending(text: str, start: int, end: int, phrases: tuple[str, ...]) -> int:
    """Characters of the longest of some phrases that the text ends with as words of its own; 0 if none."""
    if text.endswith(phrases, start, end):
        for phrase in phrases:
            at = end - len(phrase)
            if text.endswith(phrase, start, end) and (at == start or _parted(text[at - 1], phrase[0])):
                return len(phrase)
    return 0


def _beginning(text: str, start: int, end: int, phrases: tuple[str, ...]) -> int:
    if text.startswith(phrases, start, end):
        for phrase in phrases:
            at = start + len(phrase)
            if text.startswith(phrase, start, end) and (at == end or _parted(text[at], phrase[-1])):
                return len(phrase)
    return 0


def _spaceless_end(text: str, start: int, end: int) -> int:
    while end > start and text[end - 1] == " ":
        end -= 1
    return end


def _spaceless_start(text: str, start: int, end: int) -> int:
    while start < end and text[start] == " ":
        start += 1
    return start


def _parted(outside: str, inside: str) -> bool:
    """Whether two neighbours are not of one word; Chinese puts no space between words."""
    return not (outside.isalnum() and outside.isascii() and inside.isalnum())


def _lettered(text: str) -> str:
    """Choices ``A. x``, ``(A) x``, ``A: x`` as ``a) x``, where they begin with a and go on in order."""
    if "b" not in text:
        return text
    run: list[re.Match[str]] = []
    for match in _CHOICE.finditer(text):
        if ord(match[1]) == ord("a") + len(run):
            run.append(match)
    if len(run) < 2:
        return text
    parts = [_headless(text[: run[0].start()])]
    for match, following in zip(run, [*run[1:], None], strict=True):
        end = len(text) if following is None else following.start()
        parts.append(f"{match[1]}) {text[match.end() : end].strip()}".strip())
    return " ".join(part for part in parts if part)


def _headless(question: str) -> str:
    """What stands before the choices, without their heading."""
    for heading in _prompts().choices:
        if question.endswith(heading) and _parted(question[: -len(heading)][-1:], heading[0]):
            return question[: -len(heading)].rstrip()
    return question
