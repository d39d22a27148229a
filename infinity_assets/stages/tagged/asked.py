"""Tags and labels by a model that is asked over the network, a group of shards at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Final

import orjson
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from infinity_assets.errors import CatalogueError
from infinity_assets.models.taggers.protocol import Tagger
from infinity_assets.models.taggers.vlm import VlmTagger, read_tags, tags_request
from infinity_assets.models.vlm.config import EngineConfig
from infinity_assets.models.vlm.costs import Cost
from infinity_assets.models.vlm.replies import Reply
from infinity_assets.models.vlm.requests import Picture, Request
from infinity_assets.stages.images.schema import IMAGES
from infinity_assets.stages.images.stored import StoredPictures
from infinity_assets.stages.tagged.labellers import Labeller, ModelLabeller
from infinity_assets.stages.tagged.model_labels import LabelAsker, Labelled, asking_hash
from infinity_assets.stages.tagged.sending import read_to_send
from infinity_assets.stages.tagged.tags import visual_questions
from infinity_assets.stages.tagged.taxonomy import Taxonomy
from infinity_assets.stages.tagged.taxonomy.proposals import FOLDER, Asked, to_json
from infinity_assets.stages.tagged.vocabulary import Vocabulary, load_vocabulary
from infinity_assets.store.digests import key_of

if TYPE_CHECKING:
    from infinity_assets.models.vlm.account import Account
    from infinity_assets.platform import Platform

#: Pictures that are in memory at once, at least.
AT_ONCE: Final = 64

#: Problems that another run may not have: a shard with one of them is tagged again.
PASSING: Final = frozenset({"budget_spent", "engine_error", "engine_died"})

NO_LABELS: Final = pl.DataFrame(schema={"question": pl.String, "leaf": pl.String})
NO_TAGS: Final = pl.DataFrame(schema={"image_id": pl.String, "tag": pl.String})


@dataclass(frozen=True, slots=True)
class Told:
    """What went wrong in one shard, as counts by problem; and what it cost."""

    labels: Mapping[str, int]  #: of questions
    tags: Mapping[str, int]  #: of pictures
    costs: Sequence[Cost] = ()

    @property
    def passing(self) -> bool:
        """Whether another run may do better."""
        return bool(PASSING & {*self.labels, *self.tags})


def model_labeller(platform: Platform, taxonomy: Taxonomy) -> ModelLabeller:
    """The labeller that asks the model of the settings; it knows no label yet."""
    return ModelLabeller(taxonomy, _name(tagging_engine(platform)), asking_hash(), NO_LABELS)


def vlm_tagger(platform: Platform) -> VlmTagger:
    """The tagger that asks it; it has seen no picture yet."""
    vocabulary = load_vocabulary()
    return VlmTagger(vocabulary.label, vocabulary.hash, _name(tagging_engine(platform)), NO_TAGS)


def tagging_engine(platform: Platform) -> EngineConfig:
    """The engine that tags and labels.

    Raises:
        CatalogueError: if the settings name none, or one that is not described.
    """
    name = platform.settings.tagging_engine
    if name is None:
        raise CatalogueError("the tagger or labeller `vlm` needs INFINITY_TAGGING_ENGINE: name an engine")
    return platform.engine(name)


class TaggingModel:
    """The model, opened when it is first asked. Every reply is kept and replayed."""

    def __init__(
        self, platform: Platform, source: str, opened: ExitStack, budget: float | None = None
    ) -> None:
        """``opened`` closes the engine; ``budget``: None spends without a limit."""
        self._platform, self._source, self._opened, self._budget = platform, source, opened, budget

    def about(
        self, rows: Sequence[pa.Table], tagger: Tagger, labeller: Labeller
    ) -> tuple[Tagger, Labeller, list[Told]]:
        """Tagger and labeller, having been told what they need for some shards.

        Args:
            rows: of ``unified``, one table for each shard.
            tagger: is given what the model sees, if it is a :class:`VlmTagger`.
            labeller: is given what it says of the questions, if it is a :class:`ModelLabeller`.

        Returns:
            Both, and what went wrong and what it cost, for each shard.
        """
        of_labels: list[Counter[str]] = [Counter() for _ in rows]
        of_tags: list[Counter[str]] = [Counter() for _ in rows]
        costs: list[list[Cost]] = [[] for _ in rows]
        if isinstance(labeller, ModelLabeller):
            by_shard = [visual_questions(part) for part in rows]
            every = sorted({q for questions in by_shard for q in questions})
            replies = self.ask_labels(every, labeller.taxonomy)
            said = self._label(replies, labeller.taxonomy)
            for questions, problems, books in zip(by_shard, of_labels, costs, strict=True):
                problems.update(p for q in questions if (p := said[q].problem) is not None)
                books.extend(self._account.take(replies[q].request_hash for q in questions))
            known = {q: one.leaf for q, one in said.items() if one.leaf is not None}
            columns = {"question": list(known), "leaf": list(known.values())}
            labeller = replace(labeller, known=pl.DataFrame(columns, schema=NO_LABELS.schema))
        if isinstance(tagger, VlmTagger):
            shown = [pictures_of(part) for part in rows]
            looked = self.ask_tags(sorted({i for ids in shown for i in ids}))
            tags, problem = self._seen(looked)
            for ids, problems, books in zip(shown, of_tags, costs, strict=True):
                problems.update(problem[i] for i in ids if i in problem)
                books.extend(self._account.take(r.request_hash for i in ids if (r := looked[i]) is not None))
            tagger = replace(tagger, seen=tags)
        told = zip(of_labels, of_tags, costs, strict=True)
        return tagger, labeller, [Told(dict(labels), dict(tags), books) for labels, tags, books in told]

    def ask_labels(self, questions: Sequence[str], taxonomy: Taxonomy) -> dict[str, Reply]:
        """What the model says of each question."""
        replies = self._account.ask(map(LabelAsker(taxonomy).request, questions))
        return dict(zip(questions, replies, strict=True))

    def ask_tags(self, image_ids: Sequence[str]) -> dict[str, Reply | None]:
        """What it says of each picture; None where there is none to send."""
        sent: list[str] = []

        def requests() -> Iterator[Request]:
            for first in range(0, len(image_ids), AT_ONCE):
                group = image_ids[first : first + AT_ONCE]
                shown: Mapping[str, Picture] = read_to_send(self._stored, group)
                for image_id in group:
                    if image_id in shown:
                        sent.append(image_id)
                        yield tags_request(shown[image_id])

        replies = self._account.ask(requests())
        return dict.fromkeys(image_ids) | dict(zip(sent, replies, strict=True))

    def _label(self, replies: Mapping[str, Reply], taxonomy: Taxonomy) -> dict[str, Labelled]:
        asker = LabelAsker(taxonomy)
        said = {q: asker.read(reply) for q, reply in replies.items()}
        proposed = [Asked(q, one.proposal) for q, one in said.items() if one.proposal is not None]
        if proposed:
            name = key_of(taxonomy.label, self._model, *(asked.question for asked in proposed))
            data = orjson.dumps(to_json(proposed, self._source, self._model, taxonomy.label))
            self._platform.store.objects.put(f"{FOLDER}/{name}.json", data)
        return said

    def _seen(self, looked: Mapping[str, Reply | None]) -> tuple[pl.DataFrame, dict[str, str]]:
        """``image_id`` and ``tag``, and the problem of each picture that has one."""
        problem: dict[str, str] = {}
        ids: list[str] = []
        tags: list[str] = []
        for image_id, reply in looked.items():
            found = None if reply is None else read_tags(reply, self._vocabulary.resolve)
            if found is None:
                problem[image_id] = "picture_missing" if reply is None else reply.problem or "unparsable"
            else:
                ids += [image_id] * len(found[0])
                tags += found[0]
        return pl.DataFrame({"image_id": ids, "tag": tags}, schema=NO_TAGS.schema), problem

    @property
    def _model(self) -> str:
        return _name(tagging_engine(self._platform))

    @cached_property
    def _vocabulary(self) -> Vocabulary:
        return load_vocabulary()

    @cached_property
    def _stored(self) -> StoredPictures:
        return StoredPictures(self._platform.store.require(IMAGES, self._source))

    @cached_property
    def _account(self) -> Account:
        from infinity_assets.models.vlm.account import Account
        from infinity_assets.models.vlm.budget import Budget
        from infinity_assets.models.vlm.cache import ReplyCache
        from infinity_assets.models.vlm.engines import open_engine

        config, settings = tagging_engine(self._platform), self._platform.settings
        cache = ReplyCache(self._platform.store.objects)
        self._opened.callback(cache.close)
        logs = settings.home / "logs" / (settings.tagging_engine or "")
        engine = self._opened.enter_context(open_engine(config, logs))
        budget = Budget(self._budget, counts_kept=True)
        return Account(engine, config, cache, budget)


def pictures_of(rows: pa.Table) -> list[str]:
    """The distinct pictures of rows of ``unified``, sorted."""
    media = pc.list_flatten(rows.column("media"))
    media = media.filter(pc.equal(pc.struct_field(media, "kind"), "image"))
    return sorted(set(pc.struct_field(media, "image_id").drop_null().to_pylist()))


def _name(engine: EngineConfig) -> str:
    return f"{engine.model}@{engine.revision}"
