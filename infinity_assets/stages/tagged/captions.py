"""Image tags read from what people wrote about a picture, on whole batches, with one search automaton.

This reads texts, not pixels, so that it runs anywhere; each tag says which kind of text it came from. Tags of
the conversation come from answers alone: a question may well ask for what is not there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import polars as pl

from infinity_assets.stages.tagged.tags import exploded
from infinity_assets.stages.tagged.vocabulary import Vocabulary
from infinity_assets.store.digests import key_of

#: Raised whenever the same texts would get other tags by the same vocabulary.
CAPTION_VERSION: Final = 1

#: Where a tag may come from, the first named where several do.
SOURCES: Final = ("caption", "annotation", "conversation")

_ANNOTATED = (
    "label",
    "box",
    "region",
    "text",
)  # not choices and answers: a wrong option is not in the picture
_DENIAL = r"^\W*(?:no|not|none|没有|不是|不|否)(?:\W|$)"


@dataclass(frozen=True)
class CaptionTagger:
    """Tags that texts name: a ``Tagger`` of :mod:`infinity_assets.models.taggers`."""

    vocabulary: Vocabulary

    @property
    def label(self) -> str:
        """Name and version of the vocabulary."""
        return self.vocabulary.label

    @property
    def hash(self) -> str:
        """32 hex characters of everything that decides which tags a text gets."""
        return key_of("captions", CAPTION_VERSION, self.vocabulary.hash)

    def tags(self, samples: pl.DataFrame) -> pl.DataFrame:
        """See :class:`~infinity_assets.models.taggers.protocol.Tagger`; there are no logits."""
        texts = pl.concat([_captions(samples), _answers(exploded(samples, "turns"))])
        return _find(texts, self.vocabulary).select(
            "row",
            "tag",
            source=pl.col("rank").replace_strict(dict(enumerate(SOURCES)), return_dtype=pl.String),
            logit=pl.lit(None, pl.Float32),
        )


def _captions(frame: pl.DataFrame) -> pl.DataFrame:
    notes = exploded(frame, "annotations").filter(pl.col("kind").is_in(["caption", *_ANNOTATED]))
    rank = (
        pl.when(pl.col("kind") == "caption")
        .then(SOURCES.index("caption"))
        .otherwise(SOURCES.index("annotation"))
    )
    words = pl.concat_str("label", "text", separator=" . ", ignore_nulls=True)
    return notes.select("row", rank=rank.cast(pl.Int32), text=words)


def _answers(turns: pl.DataFrame) -> pl.DataFrame:
    said = turns.filter(
        (pl.col("role") == "assistant") & ~pl.col("text").str.to_lowercase().str.contains(_DENIAL)
    )
    return said.select("row", rank=pl.lit(SOURCES.index("conversation"), pl.Int32), text="text")


def _find(texts: pl.DataFrame, vocabulary: Vocabulary) -> pl.DataFrame:
    """Distinct tags of each row with the first source of each: ``row``, ``tag``, ``rank``."""
    patterns = vocabulary.patterns
    # Two spaces between words: a pattern takes one on either side, and neighbours must both find theirs.
    spaced = pl.col("text").str.to_lowercase().str.replace_all(r"[^\p{L}\p{N}]+", "  ")
    return (
        texts.select(
            "row",
            "rank",
            match=pl.concat_str(pl.lit(" "), spaced, pl.lit(" ")).str.extract_many(
                list(patterns), leftmost=True
            ),
        )
        .explode("match")
        .drop_nulls("match")
        .with_columns(tag=pl.col("match").replace_strict(patterns, return_dtype=pl.String))
        .group_by("row", "tag")
        .agg(pl.col("rank").min())
    )
