"""Tags and labels by a model that is asked over the network, a group of shards at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
    from infinity_assets.models.vlm.cache import ReplyCache
    from infinity_assets.models.vlm.engine import Engine
    from infinity_assets.platform import Platform

#: Pictures that are in memory at once, at least.
AT_ONCE: Final = 64

#: Problems that another run may not have: a shard with one of them is tagged again.
PASSING: Final = frozenset({"engine_error", "engine_died"})

NO_LABELS: Final = pl.DataFrame(schema={"question": pl.String, "leaf": pl.String})
NO_TAGS: Final = pl.DataFrame(schema={"image_id": pl.String, "tag": pl.String})


@dataclass(frozen=True, slots=True)
class Told:
    """What went wrong in one shard: counts by problem."""

    labels: Mapping[str, int]  #: of questions
    tags: Mapping[str, int]  #: of pictures

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

    def __init__(self, platform: Platform, source: str, opened: ExitStack) -> None:
        self._platform, self._source, self._opened = platform, source, opened

    def about(
        self, rows: Sequence[pa.Table], tagger: Tagger, labeller: Labeller
    ) -> tuple[Tagger, Labeller, list[Told]]:
        """Tagger and labeller, having been told what they need for some shards.

        Args:
            rows: of ``unified``, one table for each shard.
            tagger: is given what the model sees, if it is a :class:`VlmTagger`.
            labeller: is given what it says of the questions, if it is a :class:`ModelLabeller`.

        Returns:
            Both, and what went wrong, for each shard.
        """
        of_labels: list[Counter[str]] = [Counter() for _ in rows]
        of_tags: list[Counter[str]] = [Counter() for _ in rows]
        if isinstance(labeller, ModelLabeller):
            by_shard = [visual_questions(part) for part in rows]
            said = self._label(sorted({q for questions in by_shard for q in questions}), labeller.taxonomy)
            for questions, problems in zip(by_shard, of_labels, strict=True):
                problems.update(p for q in questions if (p := said[q].problem) is not None)
            known = {q: one.leaf for q, one in said.items() if one.leaf is not None}
            columns = {"question": list(known), "leaf": list(known.values())}
            labeller = replace(labeller, known=pl.DataFrame(columns, schema=NO_LABELS.schema))
        if isinstance(tagger, VlmTagger):
            shown = [_pictures(part) for part in rows]
            tags, problem = self._look(sorted({i for ids in shown for i in ids}))
            for ids, problems in zip(shown, of_tags, strict=True):
                problems.update(problem[i] for i in ids if i in problem)
            tagger = replace(tagger, seen=tags)
        told = zip(of_labels, of_tags, strict=True)
        return tagger, labeller, [Told(dict(labels), dict(tags)) for labels, tags in told]

    def _label(self, questions: Sequence[str], taxonomy: Taxonomy) -> dict[str, Labelled]:
        asker = LabelAsker(taxonomy)
        replies = self._ask(map(asker.request, questions))
        said = {q: asker.read(reply) for q, reply in zip(questions, replies, strict=True)}
        proposed = [Asked(q, one.proposal) for q, one in said.items() if one.proposal is not None]
        if proposed:
            name = key_of(taxonomy.label, self._model, *(asked.question for asked in proposed))
            data = orjson.dumps(to_json(proposed, self._source, self._model, taxonomy.label))
            self._platform.store.objects.put(f"{FOLDER}/{name}.json", data)
        return said

    def _look(self, image_ids: Sequence[str]) -> tuple[pl.DataFrame, dict[str, str]]:
        """``image_id`` and ``tag``, and the problem of each picture that has one."""
        sent: list[str] = []
        problem: dict[str, str] = dict.fromkeys(image_ids, "picture_missing")

        def requests() -> Iterator[Request]:
            for first in range(0, len(image_ids), AT_ONCE):
                group = image_ids[first : first + AT_ONCE]
                shown: Mapping[str, Picture] = read_to_send(self._stored, group)
                for image_id in group:
                    if image_id in shown:
                        sent.append(image_id)
                        yield tags_request(shown[image_id])

        ids: list[str] = []
        tags: list[str] = []
        for image_id, reply in zip(sent, self._ask(requests()), strict=True):
            found = read_tags(reply, self._vocabulary.resolve)
            if found is None:
                problem[image_id] = reply.problem or "unparsable"
            else:
                del problem[image_id]
                ids += [image_id] * len(found[0])
                tags += found[0]
        return pl.DataFrame({"image_id": ids, "tag": tags}, schema=NO_TAGS.schema), problem

    def _ask(self, requests: Iterable[Request]) -> list[Reply]:
        from infinity_assets.models.vlm.ask import complete_all

        engine = tagging_engine(self._platform)
        return complete_all(
            self._engine,
            requests,
            cache=self._cache,
            prices=engine.prices,
            concurrency=engine.concurrency,
        )

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
    def _cache(self) -> ReplyCache:
        from infinity_assets.models.vlm.cache import ReplyCache

        cache = ReplyCache(self._platform.store.objects)
        self._opened.callback(cache.close)
        return cache

    @cached_property
    def _engine(self) -> Engine:
        from infinity_assets.models.vlm.engines import open_engine

        logs = self._platform.settings.home / "logs" / (self._platform.settings.tagging_engine or "")
        return self._opened.enter_context(open_engine(tagging_engine(self._platform), logs))


def _pictures(rows: pa.Table) -> list[str]:
    media = pc.list_flatten(rows.column("media"))
    media = media.filter(pc.equal(pc.struct_field(media, "kind"), "image"))
    return sorted(set(pc.struct_field(media, "image_id").drop_null().to_pylist()))


def _name(engine: EngineConfig) -> str:
    return f"{engine.model}@{engine.revision}"
