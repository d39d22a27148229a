"""VQA v2 (visualqa.org): questions joined with their annotations; and flat lists of question, answer, image.

One record for each question: the question and the answer that most people gave are the turns, the people's
answers are annotations.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import orjson
from pydantic import AfterValidator

from infinity_assets.readers.base import (
    MARKERS,
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
from infinity_assets.readers.files import SourceFiles
from infinity_assets.readers.joined import (
    Joined,
    JsonList,
    as_id,
    check_template,
    find_splits,
    image_path,
    join,
    list_ids,
    locate,
    plan_join,
)
from infinity_assets.readers.json_rows import Row, read_json
from infinity_assets.readers.native_fields import json_text, native_id
from infinity_assets.readers.rows import BadRow

Template = Annotated[str, AfterValidator(check_template)]


class VqaOptions(ReaderOptions):
    """Where the files lie, as templates, e.g. ``v2_OpenEnded_mscoco_{split}_questions.json``."""

    questions: Template
    annotations: Template | None = None  #: absent where the list holds the answers, or where there are none
    images: Template  #: e.g. ``{split}/COCO_{split}_{image_id:012d}.jpg``


class Vqa:
    """A file whose first byte is ``[`` is a flat list ``[[question, answer, image_id], ...]`` (easy-VQA)."""

    name = "vqa"
    version = 1
    Options: type[ReaderOptions] = VqaOptions
    patterns: tuple[str, ...] = ("**/*.json",)

    def plan(self, files: SourceFiles, options: VqaOptions) -> Iterator[Slice]:
        """Slices of 8 MiB of questions."""
        for entry, split in find_splits(files, options.questions):
            with files.open(entry.path) as stream:
                flat = stream.read(1024).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"[")
            path = options.annotations.format_map({"split": split}) if options.annotations else None
            other = files.entry(path) if path and not flat else None
            args: tuple[tuple[str, str | int], ...] = (("split", split), ("flat", int(flat)))
            if other is not None:
                at = locate(files, other.path, ("annotations",))
                args += (("other", other.path), *locate(files, entry.path, ("questions",)), *at)
            yield from plan_join(files, entry, () if flat else ("questions",), other, args)

    def read(self, files: SourceFiles, piece: Slice, options: VqaOptions) -> Iterator[Record]:
        """The slice's records; the last slice also tells of annotations whose question is not there."""
        args = dict(piece.args)
        rows = list(read_json(files, piece))
        other, joined = str(args.get("other", "")), None
        if other:
            wanted = [one for row in rows if (one := _id(row)) is not None]
            questions = JsonList(files, piece.file, "questions", int(args["at_questions"]))
            annotations = JsonList(files, other, "annotations", int(args["at_annotations"]))
            every = list_ids(questions, "question_id") if args["last"] else None
            joined = join(annotations, "question_id", wanted, every)
        for row in rows:
            yield _record(row, joined, bool(args["flat"]), str(args["split"]), options.images)
        if joined is not None:
            yield from joined.strays


def _id(row: Row) -> str | int | None:
    return as_id(row.value.get("question_id")) if isinstance(row.value, dict) else None


def _record(row: Row, joined: Joined | None, flat: bool, split: str, images: str) -> Record:
    member = f"[{row.locator.row}]" if flat else f"questions[{row.locator.row}]"
    locator = Locator(row.locator.file, row.locator.row, member, row.locator.offset)
    if row.error is not None:
        return Record(locator, row.raw, error=row.error)
    try:
        if flat:
            return _flat(locator, row, split, images)
        return _joined(locator, row, joined, split, images)
    except BadRow as bad:
        error = RowError(bad.reason, f"{locator.file}, {member}: {bad}")
        return Record(locator, row.raw, native_id(_id(row)), error=error)


def _flat(locator: Locator, row: Row, split: str, images: str) -> Record:
    if not isinstance(row.value, list) or len(row.value) != 3:
        raise BadRow("bad_record", "not a list of question, answer and image id")
    question, answer, image_id = row.value
    turns = (_question(question), Turn("assistant", _answer(answer)))
    answers = (Annotation("answer", text=answer, image=0),)
    return Record(
        locator, row.raw, None, turns, (_media(image_id, split, images),), answers, {"image_id": image_id}
    )


def _joined(locator: Locator, row: Row, joined: Joined | None, split: str, images: str) -> Record:
    question, identity = row.value, _id(row)
    if not isinstance(question, dict) or identity is None:
        raise BadRow("bad_record", "not an object with a question_id")
    turns = [_question(question.get("question"))]
    media = (_media(question.get("image_id"), split, images),)
    extras = {k: v for k, v in question.items() if k not in ("question", "question_id")}
    if joined is None:
        return Record(locator, row.raw, native_id(identity), tuple(turns), media, (), extras)
    found = joined.found[identity]
    if len(found) != 1:
        problem = joined.cut or f"question_id {identity} has {len(found)} annotations"
        raise BadRow("bad_record", problem)
    annotation = orjson.loads(found[0])
    turns.append(Turn("assistant", _answer(annotation.get("multiple_choice_answer"))))
    used = ("question_id", "image_id", "multiple_choice_answer", "answers")
    return Record(
        locator=locator,
        raw=canonical_json({"annotation": annotation, "question": question}),
        native_id=native_id(identity),
        turns=tuple(turns),
        media=media,
        annotations=tuple(_answers(annotation.get("answers"))),
        extras=extras | {k: v for k, v in annotation.items() if k not in used},
    )


def _question(text: Any) -> Turn:
    if not isinstance(text, str) or not text.strip():
        raise BadRow("bad_turns", "the question is empty or no text")
    return Turn("user", f"{MARKERS['image']}\n{text}")


def _answer(text: Any) -> str:
    if not isinstance(text, str) or not text.strip():
        raise BadRow("bad_turns", "the answer is empty or no text")
    return text


def _answers(value: Any) -> Iterator[Annotation]:
    for one in value if isinstance(value, list) else []:
        if not isinstance(one, Mapping) or not isinstance(one.get("answer"), str):
            raise BadRow("bad_record", "an item of 'answers' has no text")
        rest = {k: v for k, v in one.items() if k != "answer"}
        yield Annotation("answer", text=one["answer"], image=0, data=json_text(rest) if rest else None)


def _media(image_id: Any, split: str, images: str) -> Media:
    identity = as_id(image_id)
    if identity is None:
        raise BadRow("bad_record", "no image_id")
    return Media("image", image_path(images, {"split": split, "image_id": identity}))
