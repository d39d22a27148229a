"""Values of a chart that remember which of them were read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


class Values:
    """Values that remember which of them were read."""

    def __init__(self, tree: Mapping[str, Any], at: str = "", read: set[str] | None = None) -> None:
        self._tree, self._at, self._read = tree, at, set() if read is None else read

    def __call__(self, *keys: str, default: Any = None) -> Any:
        """One value with all that lies below it."""
        found: Any = self._tree
        for key in keys:
            found = (found or {}).get(key)
        self._read.add(".".join(filter(None, (self._at, *keys))))
        return default if found is None else found

    def below(self, *keys: str) -> Values:
        """A part, whose values are read one by one."""
        found: Any = self._tree
        for key in keys:
            found = found.get(key) or {}
        return Values(found, ".".join(filter(None, (self._at, *keys))), self._read)

    def each(self, key: str) -> list[Values]:
        """Parts of a list."""
        return [
            Values(entry, f"{self._at}.{key}[{i}]", self._read)
            for i, entry in enumerate(self._tree.get(key, ()))
        ]

    def unread(self) -> list[str]:
        """Paths of values that nothing asked for."""
        return sorted(path for path in _leaves(self._tree, "") if not self._covered(path))

    def _covered(self, path: str) -> bool:
        return any(path == read or path.startswith((f"{read}.", f"{read}[")) for read in self._read)


def _leaves(tree: Any, at: str) -> Iterator[str]:
    if isinstance(tree, Mapping) and tree:
        for key, value in tree.items():
            yield from _leaves(value, f"{at}.{key}" if at else key)
    elif isinstance(tree, list) and tree:
        for i, value in enumerate(tree):
            yield from _leaves(value, f"{at}[{i}]")
    else:
        yield at
