"""Measures of a sample's format, text and pictures, on whole batches. They know no threshold.

Raise :data:`MEASURE_VERSION` whenever the same sample would measure otherwise; a golden test watches.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from infinity_assets.stages.filtered.policy import RULES

MEASURE_VERSION: Final = 1

#: Names of all measures, in the order in which they are stored. Each is float32; null is "not measured".
MEASURES: Final = tuple(dict.fromkeys(rule.measure for rule in RULES.values()))

#: Columns of ``unified`` that are read.
UNIFIED_COLUMNS: Final = (
    "sample_id",
    "turns",
    "image_ids",
    "licence",
    "language",
    "language_score",
    "question_tokens",
    "answer_tokens",
)
#: Columns of ``images`` that are read.
IMAGE_COLUMNS: Final = ("image_id", "width", "height", "blur", "entropy")

NGRAM = 4  #: words (or characters of scripts without spaces) that make a repetition
MIN_NGRAMS = 12  #: an answer with fewer has no share of repetition: a list of three colours is no defect

#: A word, or one character of a script that is written without spaces.
_WORD = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}]|[\p{L}\p{N}&&[^\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}]]+"
#: "Answer:" (Infinity-MM, papers 1.4) with something behind it; a bare one only asks for the answer.
_LEAK = r"(?:Answer|答案)\s*[:：]\s*\S"
#: Without Unicode word boundaries, which would send every text that is not ASCII to a far slower engine.
_BOILERPLATE = (
    r"(?i)^\W*(?:i(?:'|’)?m sorry,? but (?:i|as) |i apologi[sz]e,? but i )"
    r"|^\W*sorry,? (?:but )?i can(?:no|'|’)t[ ,.]"
    r"|(?:^|\W)(?:as an ai[ ,.]|as a (?:large )?language model|i(?: am|'m) (?:just )?an ai[ ,.])"
    r"|(?:^|\W)i (?:cannot|can't|am unable to|do not have the ability to) (?:see|view|access) "
    r"(?:the |any |this )?(?:image|picture|photo)"
    r"|作为(?:一个|一名)?(?:人工智能|AI|大?语言模型)|^(?:很|非常)?抱歉[，,]我(?:无法|不能)"
)
_YES_NO = r"(?i)^\W*(?:(yes|是的|是|对)|(no|不是|不|否|没有))(?:\W|$)"
_LETTER = r"^\W*([A-H])(?:[.．、:：)）]|\s*$)"


def measure_batch(rows: pa.Table, images: pl.DataFrame, languages: Collection[str]) -> pl.DataFrame:
    """Every measure of every sample.

    Args:
        rows: rows of ``unified`` with at least :data:`UNIFIED_COLUMNS`.
        images: :data:`IMAGE_COLUMNS` of (at least) the rows' images, one row for each image.
        languages: ISO 639-1 codes that the catalogue states; ``und`` allows any.

    Returns:
        One row for each sample, in order; the float32 columns :data:`MEASURES`.
    """
    frame = _frame(rows).with_row_index("row")
    turns = _turns(frame)
    parts = [
        _conversation(turns),
        _longest_turn(frame, turns),
        _repetition(turns),
        _pictures(frame, images),
    ]
    for part in parts:
        frame = frame.join(part, on="row", how="left", maintain_order="left")
    known = sorted({code.split("-")[0].lower() for code in languages})
    foreign = pl.lit("und" not in known) & ~pl.col("language").is_in(known)
    has_turns = pl.col("turn_count").is_not_null()
    frame = frame.with_columns(
        turns_measure=pl.col("turn_count").fill_null(0),
        tokens=pl.col("question_tokens") + pl.col("answer_tokens"),
        marker_gap=pl.when(has_turns).then(
            (pl.col("markers") - pl.col("image_ids").list.len().cast(pl.Int64)).abs()
        ),
        foreign_language=pl.when(foreign)
        .then(pl.col("language_score"))
        .otherwise(0.0 * pl.col("language_score")),
    )
    return frame.select(
        pl.col("turns_measure" if name == "turns" else name).cast(pl.Float32).fill_nan(None).alias(name)
        for name in MEASURES
    )


def count_answers(rows: pa.Table) -> dict[str, int]:
    """How many answers begin with yes, no or an option letter: the balance of a source.

    Args:
        rows: rows of ``unified`` with the column ``turns``.

    Returns:
        Counts under ``yes``, ``no`` and ``A`` to ``H``; only those that occur.
    """
    answers = _turns(_frame(rows.select(["turns"])).with_row_index("row")).filter(
        pl.col("role") == "assistant"
    )
    kinds = answers.select(
        kind=pl.when(pl.col("text").str.extract(_YES_NO, 1).is_not_null())
        .then(pl.lit("yes"))
        .when(pl.col("text").str.extract(_YES_NO, 2).is_not_null())
        .then(pl.lit("no"))
        .otherwise(pl.col("text").str.extract(_LETTER, 1))
    )
    counted = kinds.drop_nulls().group_by("kind").len().sort("kind")
    return {str(kind): int(n) for kind, n in counted.iter_rows()}


def to_map(measures: pl.DataFrame) -> pa.MapArray:
    """Measures as they are stored: name -> value, in the order of :data:`MEASURES`, nulls left out."""
    wide = measures.select(MEASURES).to_numpy().astype(np.float32).reshape(-1, len(MEASURES))
    known = ~np.isnan(wide)
    offsets = np.concatenate([[0], np.cumsum(known.sum(axis=1))]).astype(np.int32)
    codes = np.tile(np.arange(len(MEASURES), dtype=np.int32), (len(wide), 1))[known]
    names = pa.array(MEASURES, pa.string()).take(pa.array(codes))
    return pa.MapArray.from_arrays(pa.array(offsets), names, pa.array(wide[known], pa.float32()))


def from_map(stored: pa.ChunkedArray) -> pl.DataFrame:
    """The inverse of :func:`to_map`."""
    array = stored.combine_chunks() if isinstance(stored, pa.ChunkedArray) else stored
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks)
    offsets = np.asarray(array.offsets)
    wide = np.full((len(array), len(MEASURES)), np.nan, dtype=np.float32)
    of_row = np.repeat(np.arange(len(array)), np.diff(offsets))
    span = slice(int(offsets[0]), int(offsets[-1]))
    codes = np.asarray(pc.index_in(array.keys, value_set=pa.array(MEASURES)).fill_null(-1))[span]
    values = np.asarray(array.items, dtype=np.float32)[span]
    ours = codes >= 0
    wide[of_row[ours], codes[ours]] = values[ours]
    frame = pl.DataFrame(wide, schema=dict.fromkeys(MEASURES, pl.Float32))
    return frame.with_columns(pl.all().fill_nan(None))


def _frame(rows: pa.Table) -> pl.DataFrame:
    wanted = [name for name in UNIFIED_COLUMNS if name in rows.column_names]
    return pl.DataFrame(pl.from_arrow(rows.select(wanted)))


def _turns(frame: pl.DataFrame) -> pl.DataFrame:
    """One row for each turn, in order: ``row``, ``turn`` (number in the batch), ``role``, ``text``."""
    exploded = (
        frame.select("row", "turns").filter(pl.col("turns").list.len() > 0).explode("turns").unnest("turns")
    )
    return exploded.with_columns(pl.col("text").fill_null(""), pl.col("role").fill_null("")).with_row_index(
        "turn"
    )


def _conversation(turns: pl.DataFrame) -> pl.DataFrame:
    role, text = pl.col("role"), pl.col("text")
    spoken = turns.filter(role != "system")
    order = (
        spoken.with_columns(
            again=(role == role.shift())
            & (pl.col("row") == pl.col("row").shift())
            & role.is_in(["user", "assistant"])
        )
        .group_by("row", maintain_order=True)
        .agg(
            role_breaks=pl.col("again").sum(),
            no_question=(role.first() != "user"),
            no_answer=(role.last() != "assistant"),
        )
    )
    user, assistant = role == "user", role == "assistant"
    counts = turns.group_by("row", maintain_order=True).agg(
        turn_count=pl.len(),
        empty_turns=(text.str.strip_chars() == "").sum(),
        markers=text.str.count_matches("<image>", literal=True).cast(pl.Int64).sum(),
        answer_leaks=(user & text.str.contains(_LEAK)).sum(),
        boilerplate_answers=(assistant & text.str.contains(_BOILERPLATE)).sum(),
    )
    return counts.join(order, on="row", how="left")


def _longest_turn(frame: pl.DataFrame, turns: pl.DataFrame) -> pl.DataFrame:
    """Tokens of the longest turn: its role's, shared out by characters. Exact where a role speaks once."""
    chars = pl.col("text").str.len_chars()
    shares = turns.group_by("row", "role").agg(share=chars.max() / pl.max_horizontal(chars.sum(), 1))
    tokens = frame.select(
        "row", pl.struct(user="question_tokens", assistant="answer_tokens").alias("by_role")
    ).unnest("by_role")
    by_role = tokens.unpivot(index="row", variable_name="role", value_name="role_tokens")
    joined = shares.join(by_role, on=["row", "role"], how="inner")
    return joined.group_by("row").agg(longest_turn_tokens=(pl.col("share") * pl.col("role_tokens")).max())


def _repetition(turns: pl.DataFrame) -> pl.DataFrame:
    """Share of an answer's 4-grams that stood before in that answer; the most of any answer of a sample."""
    answers = turns.filter(pl.col("role") == "assistant")
    words = (
        answers.select("row", "turn", word=pl.col("text").str.to_lowercase().str.extract_all(_WORD))
        .filter(pl.col("word").list.len() >= NGRAM + MIN_NGRAMS - 1)
        .explode("word")
        .with_columns(pl.col("word").hash())
    )
    gram = pl.sum_horizontal(pl.col("word").shift(-i) % (1 << 40) * (31**i) for i in range(NGRAM))
    grams = words.select("row", "turn", gram=gram, whole=pl.col("turn") == pl.col("turn").shift(1 - NGRAM))
    shares = (
        grams.filter(pl.col("whole"))
        .group_by("row", "turn")
        .agg(share=1.0 - pl.col("gram").n_unique() / pl.len())
    )
    return shares.group_by("row").agg(repeated_share=pl.col("share").max())


def _pictures(frame: pl.DataFrame, images: pl.DataFrame) -> pl.DataFrame:
    width, height = pl.col("width"), pl.col("height")
    shown = (
        frame.select("row", image_id="image_ids")
        .filter(pl.col("image_id").list.len() > 0)
        .explode("image_id")
        .join(images.select(IMAGE_COLUMNS), on="image_id", how="inner")
    )
    short, long = pl.min_horizontal(width, height), pl.max_horizontal(width, height)
    return shown.group_by("row").agg(
        image_short_side=short.min(),
        image_long_side=long.max(),
        image_aspect=(long / short).max(),
        image_blur=pl.col("blur").min(),
        image_entropy=pl.col("entropy").min(),
    )
