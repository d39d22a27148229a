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
_QUOTED = {'"': '"', "'": "'", "“": "”", "‘": "’", "«": "»", "「": "」", "『": "』", "`": "`"}
_LETTER = re.compile(r"\((\w)\)")
_CHOICE = re.compile(r"(?:[.,;]? |^)\(?([a-z])(?:[.:、]|\)[.:]?)(?= )")


def normal_text(text: str) -> str:
    """A text folded, as it stands in any turn; punctuation inside of it stays."""
    return _trimmed(_folded(text))


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


def _trimmed(text: str) -> str:
    """Without punctuation and quotes at the ends, as long as anything remains."""
    while True:
        found = text.rstrip(_END).lstrip(_START)
        if found.endswith("!") and not found.rstrip("!")[-1:].isdigit():
            found = found.rstrip("!")
        if len(found) > 2 and _QUOTED.get(found[0]) == found[-1] and found[0] not in found[1:-1]:
            found = found[1:-1]
        if letter := _LETTER.fullmatch(found):
            found = letter[1]
        if not found or found == text:
            return text
        text = found


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
    """Without one layer of cues and instructions, then trimmed; as it is where nothing else remains."""
    prompts = _prompts()
    cut = text
    for quote in prompts.quotes:
        cut = cut[: cut.rfind(quote)] if quote in cut else cut
    for cue in prompts.after:
        if cut.endswith(cue) and _parted(cut[: -len(cue)][-1:], cue[0]):
            cut = cut[: -len(cue)]
            break
    for cue in prompts.before:
        if cut.startswith(cue):
            cut = cut[len(cue) :]
            break
    if not cut.strip(_END):
        return _trimmed(text)
    cut = _trimmed(cut.strip())
    for instruction in prompts.ends.get(cut[-2:], ()):
        if cut.endswith(instruction) and _parted(cut[: -len(instruction)][-1:], instruction[0]):
            cut = cut[: -len(instruction)]
            break
    for instruction in prompts.starts.get(cut[:2], ()):
        if cut.startswith(instruction) and _parted(cut[len(instruction) :][:1], instruction[-1]):
            cut = cut[len(instruction) :]
            break
    return _trimmed(cut.strip()) if cut.strip(_END) else _trimmed(text)


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
        parts.append(f"{match[1]}){text[match.end() : end]}")
    return " ".join(part for part in parts if part)


def _headless(question: str) -> str:
    """What stands before the choices, without their heading."""
    for heading in _prompts().choices:
        if question.endswith(heading) and _parted(question[: -len(heading)][-1:], heading[0]):
            return question[: -len(heading)].rstrip()
    return question
