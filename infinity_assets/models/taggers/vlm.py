"""Image tags said by a vision-language model, held to a vocabulary.

The model answers in words of its own, and the vocabulary decides: a word, or another name of one, is its tag,
and a word that it does not know is none. Constraining the decoder to thousands of tags instead would turn
each word that it cannot write into the one that begins alike: "sofa" into "soft drink".
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from infinity_assets.models.vlm.prompt_files import prompt_name, read_prompt
from infinity_assets.models.vlm.replies import Reply
from infinity_assets.models.vlm.requests import Message, Picture, Request, Sampling

if TYPE_CHECKING:
    import polars as pl

#: Raised whenever the same replies would give other tags.
VLM_TAG_VERSION: Final = 1

PROMPTS: Final = Path(__file__).with_name("prompts")
PROMPT: Final = ("tags", 1)  #: name, and the latest version; in English, as the vocabulary is
MOST_TAGS: Final = 20
REPLY_TOKENS: Final = 320

#: What a tag that was said says of where it comes from.
SEEN: Final = "picture"

_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "tags": {
            "type": "array",
            "items": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9 '-]{0,39}$"},
            "maxItems": MOST_TAGS,
        }
    },
    "required": ["tags"],
    "additionalProperties": False,
}


@dataclass(frozen=True)
class VlmTagger:
    """Tags that a model said; a :class:`~infinity_assets.models.taggers.protocol.Tagger`.

    A sample of several pictures has the tags of all. A picture at which the model failed gives none.
    """

    label: str  #: name and version of the vocabulary
    vocabulary: str  #: its hash
    model: str  #: name and revision
    seen: pl.DataFrame  #: ``image_id`` and ``tag``

    @property
    def hash(self) -> str:
        """32 hex characters of everything that decides which tags a picture gets."""
        told = (VLM_TAG_VERSION, read_prompt(PROMPTS, *PROMPT, "en"), self.vocabulary, self.model)
        return hashlib.sha256(repr(told).encode()).hexdigest()[:32]

    def tags(self, samples: pl.DataFrame) -> pl.DataFrame:
        """See :class:`~infinity_assets.models.taggers.protocol.Tagger`; there are no logits."""
        import polars as pl

        media = pl.element().filter(pl.element().struct.field("kind") == "image").struct.field("image_id")
        shown = samples.select("row", image_id=pl.col("media").list.eval(media)).explode("image_id")
        found = shown.drop_nulls().join(self.seen, on="image_id").select("row", "tag").unique()
        return found.with_columns(source=pl.lit(SEEN), logit=pl.lit(None, pl.Float32))


def tags_request(picture: Picture) -> Request:
    """What the model is asked about a picture."""
    return Request(
        (Message("user", (picture, read_prompt(PROMPTS, *PROMPT, "en"))),),
        Sampling(max_tokens=REPLY_TOKENS),
        prompt_name(*PROMPT, "en"),
        schema=_SCHEMA,
        tag="tags",
    )


def read_tags(reply: Reply, resolve: Callable[[str], str | None]) -> tuple[tuple[str, ...], int] | None:
    """Distinct tags of a reply, sorted, and how many words the vocabulary does not know.

    Args:
        reply: to a :func:`tags_request`.
        resolve: the tag that a word stands for.

    Returns:
        None where the reply cannot be used: a cut one may end in half a word.
    """
    if reply.problem is not None or reply.parsed is None:
        return None
    found = [resolve(word) for word in reply.parsed["tags"]]
    return tuple(sorted({tag for tag in found if tag is not None})), found.count(None)
