"""Errors that a person should read: what is wrong, where, and what to do. The CLI prints them in one line."""

from __future__ import annotations


def one_line(text: str) -> str:
    """The text with line ends and whatever else a terminal obeys written as escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class InfinityError(Exception):
    """Base of every error this package raises on purpose."""


class CatalogueError(InfinityError):
    """A source file, a mix or a policy is wrong; the message names file and line."""


class SourceError(InfinityError):
    """A source cannot be read as a whole (missing, forbidden, changed under our feet)."""


class StoreError(InfinityError):
    """A table is missing, of another schema, or cannot be written."""


class CommitConflict(StoreError):
    """Another run published the same partition first; this one refuses and changes nothing."""


class AuditFailed(InfinityError):
    """A critical check failed, so nothing was committed; what was published before stays."""


class ClusterError(InfinityError):
    """Kubernetes refuses what it is asked, does not answer, or what ran there failed."""
