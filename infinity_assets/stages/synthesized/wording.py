"""Words of the sentences that rules write: articles, plurals, numbers and lists, in English."""

from __future__ import annotations

from collections.abc import Sequence

_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def indefinite(noun: str) -> str:
    """The noun with its article."""
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"


def plural(noun: str) -> str:
    """More than one of it."""
    if noun.endswith(("s", "x", "z", "ch", "sh")):
        return noun + "es"
    return {"person": "people", "man": "men", "woman": "women", "child": "children", "sheep": "sheep"}.get(
        noun, noun[:-1] + "ies" if noun.endswith("y") and noun[-2:-1] not in "aeiou" else noun + "s"
    )


def counted(n: int, noun: str) -> str:
    """A number of things as words: ``a dog``, ``two dogs``; at most nine."""
    return indefinite(noun) if n == 1 else f"{_NUMBERS[n]} {plural(noun)}"


def listed(parts: Sequence[str]) -> str:
    """Several things in one breath: ``a, b and c``."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
