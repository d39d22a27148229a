"""Folders of pictures: each file a record, the class the name of a folder above it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import PurePosixPath

import blake3
from pydantic import Field

from infinity_assets.readers.base import (
    Annotation,
    Locator,
    Media,
    ReaderOptions,
    Record,
    RowError,
    Slice,
    Turn,
    canonical_json,
)
from infinity_assets.readers.files import FileEntry, SourceFiles, matches
from infinity_assets.readers.native_fields import IMAGE_SUFFIXES, caption_turns

#: Files of one slice: pictures are decoded by whoever reads the slice, so this is about a minute of work.
SLICE_FILES = 2_000

DEFAULT_PATTERNS = tuple(f"**/*.{s}" for suffix in IMAGE_SUFFIXES for s in (suffix, suffix.upper()))


class ImageFolderOptions(ReaderOptions):
    """Options of ``image_folder``."""

    glob: tuple[str, ...] = DEFAULT_PATTERNS  #: which files are pictures
    class_level: int = Field(default=1, ge=0)  #: 1: the folder that holds the file; 2: the one above; 0: none
    question: str | None = None  #: asked about every picture, the class being the answer; None: no turns


class ImageFolder:
    """A picture is never opened here: a file that is none is found where it is decoded."""

    name = "image_folder"
    version = 1
    Options: type[ReaderOptions] = ImageFolderOptions
    patterns: tuple[str, ...] = DEFAULT_PATTERNS

    def plan(self, files: SourceFiles, options: ImageFolderOptions) -> Iterator[Slice]:
        """Slices of at most 2,000 files of one folder, so that a new class changes no other slice."""
        chosen = (e for e in files if any(matches(e.path, pattern) for pattern in options.glob))
        for _, group in groupby(chosen, key=lambda e: PurePosixPath(e.path).parent):
            entries = list(group)
            for i in range(0, len(entries), SLICE_FILES):
                yield _slice(entries[i : i + SLICE_FILES])

    def read(self, files: SourceFiles, piece: Slice, options: ImageFolderOptions) -> Iterator[Record]:
        """One record for each file of the slice, by path."""
        for _, path in piece.args:
            yield _record(str(path), options)


def _slice(entries: list[FileEntry]) -> Slice:
    listing = "\n".join(f"{e.content_hash} {e.path}" for e in entries)
    content = blake3.blake3(listing.encode()).hexdigest(length=16)
    return Slice(entries[0].path, content, args=tuple(("file", e.path) for e in entries))


def _record(path: str, options: ImageFolderOptions) -> Record:
    folders = PurePosixPath(path).parts[:-1]
    level = options.class_level
    label = folders[-level] if 0 < level <= len(folders) else None
    raw = canonical_json({"file": path, "label": label})
    locator = Locator(path)
    if options.question is not None and label is None:
        detail = (
            f"{path}: no folder at class_level {level} to answer the question; check the reader's options"
        )
        return Record(locator, raw, error=RowError("bad_record", detail))
    turns: tuple[Turn, ...] = ()
    if options.question is not None and label is not None:
        turns = caption_turns(label, options.question)
    return Record(
        locator=locator,
        raw=raw,
        native_id=path,
        turns=turns,
        media=(Media("image", path),),
        annotations=(Annotation("label", label=label, image=0),) if label is not None else (),
    )
