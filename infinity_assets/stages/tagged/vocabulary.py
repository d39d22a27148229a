"""A list of image tags, with Chinese names and other words for each, and the patterns that find them.

The file is plain text: ``tag<TAB>Chinese<TAB>other words`` on each line, the last two optional, several words
separated by commas. ``# name:`` and ``# version:`` stand on top. A bare list, one tag a line, is valid too.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import blake3

from infinity_assets.errors import CatalogueError

DEFAULT = Path(__file__).with_name("vocabulary.txt")
_HEADER = re.compile(r"#\s*(name|version)\s*:\s*(\S+)\s*$")
_VOWELS: Final = "aeiou"


@dataclass(frozen=True)
class Vocabulary:
    """Tags, and every spelling that stands for one."""

    name: str
    version: str
    tags: tuple[str, ...]  #: sorted
    spellings: Mapping[str, str]  #: normalised spelling -> tag

    @property
    def label(self) -> str:
        """Name and version, as the table states them."""
        return f"{self.name}@{self.version}"

    def resolve(self, word: str) -> str | None:
        """The tag that a word or phrase stands for, in any case and number; None if it is not known."""
        return self.spellings.get(normalise(word))

    @functools.cached_property
    def hash(self) -> str:
        """32 hex characters of everything that decides which tags a text gets."""
        lines = [self.label, *(f"{k}\t{v}" for k, v in sorted(self.spellings.items()))]
        return blake3.blake3("\n".join(lines).encode()).hexdigest(length=16)

    @functools.cached_property
    def patterns(self) -> Mapping[str, str]:
        """What to search a normalised text for -> tag; the longest first, so that it wins.

        Latin words carry a space on both sides, so that ``cat`` is not found in ``category``; in a normalised
        text two spaces stand between words, so that neighbours can both match.
        """
        searched = {k if _is_han(k) else f" {k.replace(' ', '  ')} ": v for k, v in self.spellings.items()}
        return dict(sorted(searched.items(), key=lambda item: (-len(item[0]), item[0])))


@functools.cache
def load_vocabulary(path: Path | None = None) -> Vocabulary:
    """The vocabulary in a file; the package's own if None.

    A spelling that two tags claim belongs to the tag that is spelled so, else to the first in the file.

    Raises:
        CatalogueError: if the file is missing, not UTF-8, empty or has a line of another shape.
    """
    path = path or DEFAULT
    try:
        content = path.read_bytes()
        lines = content.decode("utf-8-sig").splitlines()
    except OSError as error:
        raise CatalogueError(
            f"{path}: cannot be read: {error.strerror}; name an existing tag list"
        ) from error
    except UnicodeDecodeError as error:
        raise CatalogueError(
            f"{path}: not UTF-8 at byte {error.start}; save the tag list as UTF-8"
        ) from error
    header = {"name": path.stem, "version": blake3.blake3(content).hexdigest(length=4)}
    own: dict[str, str] = {}
    other: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        if line.startswith("#"):
            if found := _HEADER.match(line):
                header[found[1]] = found[2]
            continue
        if not line.strip():
            continue
        fields = line.split("\t")
        tag = normalise(fields[0])
        if not tag or len(fields) > 3:
            raise CatalogueError(f"{path}:{number}: not 'tag<TAB>Chinese<TAB>other words': {line[:60]!r}")
        own[tag] = tag
        for word in (w for field in fields[1:] for w in field.split(",")):
            if spelling := normalise(word):
                for form in _forms(spelling):
                    other.setdefault(form, tag)
        for form in _forms(tag):
            other.setdefault(form, tag)
    if not own:
        raise CatalogueError(f"{path}: holds no tag; write one on each line")
    return Vocabulary(header["name"], header["version"], tuple(sorted(own)), {**other, **own})


def normalise(text: str) -> str:
    """Case folded, everything but letters and digits turned into single spaces."""
    return " ".join(re.sub(r"[\W_]+", " ", text.casefold()).split())


def _forms(spelling: str) -> Iterator[str]:
    """A spelling and its regular plural; irregular ones are listed in the file."""
    yield spelling
    if _is_han(spelling) or not spelling[-1].isalpha():
        return
    if spelling.endswith(("s", "x", "z", "ch", "sh")):
        yield spelling + "es"
    elif spelling.endswith("y") and spelling[-2:-1] not in _VOWELS:
        yield spelling[:-1] + "ies"
    else:
        yield spelling + "s"


def _is_han(text: str) -> bool:
    return any("\u3400" <= c <= "\u9fff" for c in text)
