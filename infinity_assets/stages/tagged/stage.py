"""Materializing ``tagged``: shard by shard of ``unified``, each tagged once for each vocabulary."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from infinity_assets.errors import StoreError
from infinity_assets.models.ram_plus.tagger import FLOOR
from infinity_assets.models.taggers.protocol import Tagger
from infinity_assets.models.taggers.vlm import VlmTagger
from infinity_assets.models.vlm.costs import Cost, books, noted, to_json
from infinity_assets.platform import Platform
from infinity_assets.stages.deduped.schema import DEDUPED
from infinity_assets.stages.images.schema import IMAGES
from infinity_assets.stages.publish import StageResult, publish, verdict_stats
from infinity_assets.stages.served import Made, Order, deliver, made_elsewhere, ordered, orders_of, places_of
from infinity_assets.stages.tagged.asked import TaggingModel, model_labeller, tagging_engine, vlm_tagger
from infinity_assets.stages.tagged.captions import CaptionTagger
from infinity_assets.stages.tagged.labellers import Labeller, ModelLabeller, RuleLabeller
from infinity_assets.stages.tagged.pictures import SeenTagger, look_at
from infinity_assets.stages.tagged.schema import TAGGED
from infinity_assets.stages.tagged.tags import TAG_VERSION, UNIFIED_COLUMNS, tag_batch
from infinity_assets.stages.tagged.taxonomy import load_taxonomy
from infinity_assets.stages.tagged.vocabulary import load_vocabulary
from infinity_assets.stages.unified.schema import UNIFIED
from infinity_assets.stages.verdicts import KEEP
from infinity_assets.store.digests import key_of, table_digest
from infinity_assets.store.tables import Published, Shard, Transaction

#: Told (phase, pieces done, pieces in all).
OnProgress = Callable[[str, int, int], None]

#: Rows of small shards that are worked on at once.
GROUP_ROWS = 8_192


def materialize_tagged(
    platform: Platform, source: str, run_id: str, on_progress: OnProgress | None = None
) -> StageResult:
    """Publish the tags of a source's kept samples. A shard whose input is unchanged is not read.

    Args:
        platform: its settings say which tagger gives the image tags.
        source: name of the source.
        run_id: stands in the manifest.
        on_progress: told (phase, pieces done, pieces in all) while pictures are looked at.

    Raises:
        StoreError: if ``unified`` or ``deduped`` was never published, or ``deduped`` is not of this
            ``unified``.
        WeightsError: if the chosen model's files are missing or do not fit.
    """
    work = _Work(platform, source)
    unified, deduped, labeller = work.unified, work.deduped, work.labeller
    have: dict[str, Shard | None] = {key: work.transaction.have(key) for key in work.keys}
    missing = [i for i, key in enumerate(work.keys) if have[key] is None]
    costs: list[Cost] = []
    for made in work.made(missing, on_progress):
        have[made.key] = made.shard
        costs += made.costs
    shards = [shard for key in work.keys if (shard := have[key]) is not None]
    kept = sum(s.stats["verdicts"].get(KEEP, 0) for s in deduped.shards)
    return publish(
        work.transaction,
        shards,
        rows_in=kept,
        run_id=run_id,
        engine=platform.settings.contracts,
        inputs={"unified": unified.data_version, "deduped": deduped.data_version},
        notes={
            "vocabulary": work.tagger.label,
            "tagged": sum(s.stats["tagged"] for s in shards),
            "question_types": _sum(shards, "question_types"),
            "taxonomy": labeller.taxonomy.label,
            "labeller": labeller.label,
            **{name: told for name in ("label_problems", "tag_problems") if (told := _sum(shards, name))},
            "instructions": _sum(shards, "instructions"),
            **_books(platform, shards, costs),
        },
        beside=True,
    )


def run_tags(root: str, key: str, payload: Mapping[str, Any]) -> None:
    """Tag the shards of an order, with a server beside this process.

    Raises:
        StoreError: if they are not what is to be tagged any more.
        EngineError: the engine as a whole does not work.
    """
    with ordered(root, key, payload) as platform:
        work = _Work(platform, payload["source"])
        places = places_of(work.keys, payload["keys"], TAGGED.name)
        work.look(places, None)
        deliver(work.transaction, key, work.here(places, payload["budget"]))


class _Work:
    """What tagging a source reads, and the shards that come of it."""

    def __init__(self, platform: Platform, source: str) -> None:
        self.platform, self.source = platform, source
        self.unified = platform.store.require(UNIFIED, source)
        self.deduped = platform.store.require(DEDUPED, source)
        require_parallel(self.unified, self.deduped)
        self.tagger, self.labeller = tagger_of(platform), labeller_of(platform)
        self.transaction = platform.store.begin(TAGGED, source)
        versions = (TAG_VERSION, self.tagger.hash, self.labeller.hash)
        pairs = zip(self.unified.shards, self.deduped.shards, strict=True)
        self.keys = [key_of("tagged", *versions, mine.digest, theirs.digest) for mine, theirs in pairs]

    def made(self, missing: Sequence[int], on_progress: OnProgress | None) -> Sequence[Made]:
        """What is missing, made by pods where these start the engine's server."""
        self.look(missing, on_progress)
        engine, budget = self.platform.settings.asked_for_tags, self.platform.policy.model_tags.budget

        def orders() -> list[Order]:
            groups = grouped(range(len(self.keys)), self.unified.shards)
            keys, shards = [(key,) for key in self.keys], self.deduped.shards
            return orders_of(self.transaction, keys, groups, lambda i: shards[i].rows)

        engines = [engine] if engine is not None else []
        found = made_elsewhere(self.platform, "tags", self.transaction, engines, budget, orders)
        if found is not None:
            return found
        return list(self.here(missing, budget))

    def look(self, places: Sequence[int], on_progress: OnProgress | None) -> None:
        """Have a tagger that looks at pictures look at those of some shards."""
        if isinstance(self.tagger, SeenTagger) and places:
            self.tagger = _after_looking(
                self.platform, self.tagger, self.unified, self.deduped, places, on_progress
            )

    def here(self, places: Sequence[int], budget: float | None) -> Iterator[Made]:
        """Some shards, tagged in this process."""
        with ExitStack() as opened:
            model = TaggingModel(self.platform, self.source, opened, budget)
            for group in grouped(places, self.unified.shards):
                by_key = {self.keys[i]: i for i in group}
                yield from _tag(
                    self.transaction, self.unified, self.deduped, by_key, self.tagger, self.labeller, model
                )


def _books(platform: Platform, shards: Sequence[Shard], of_this_run: Sequence[Cost]) -> dict[str, Any]:
    """What tagging cost, where a model was asked."""
    if "vlm" not in (platform.settings.tagger, platform.settings.labeller):
        return {}
    published = (shard.stats.get("costs", []) for shard in shards)
    told = noted(books(published, of_this_run))
    return {"costs": told, "currency": tagging_engine(platform).prices.currency}


def labeller_of(platform: Platform) -> RuleLabeller | ModelLabeller:
    """The labeller that the settings name; a model has not been asked yet."""
    taxonomy = load_taxonomy()
    return (
        RuleLabeller(taxonomy)
        if platform.settings.labeller == "rules"
        else model_labeller(platform, taxonomy)
    )


def tagger_of(platform: Platform) -> CaptionTagger | SeenTagger | VlmTagger:
    """The tagger that the settings name; one that looks at pictures has not looked at any yet."""
    settings = platform.settings
    if settings.tagger == "captions":
        return CaptionTagger(load_vocabulary())
    if settings.tagger == "vlm":
        return vlm_tagger(platform)
    files, min_logit = settings.ram_plus.files(), platform.policy.picture_tags.min_logit
    listed = files.tag_list()
    name = Path(files.tags).stem
    label = f"{name}@{key_of(*listed.tags)[:8]}"
    below = {tag: cut for tag, cut in listed.cuts.items() if max(cut, min_logit) < FLOOR}
    if below:
        raise StoreError(
            f"{len(below)} tags count below a logit of {FLOOR}, where none is kept; raise `min_logit`"
        )
    nothing = pl.DataFrame(schema={"image_id": pl.String, "tag": pl.String, "logit": pl.Float32})
    return SeenTagger(label, files.hash(), listed.cuts, min_logit, nothing)


def _after_looking(
    platform: Platform,
    tagger: SeenTagger,
    unified: Published,
    deduped: Published,
    places: Sequence[int],
    on_progress: OnProgress | None,
) -> SeenTagger:
    """The tagger, having seen the pictures of the kept samples of some shards."""
    found: set[str] = set()
    for place in places:
        kept = deduped.read_shard(deduped.shards[place], ["sample_id", "verdict"])
        media = kept_rows(unified, unified.shards[place], kept, ("sample_id", "media")).column("media")
        pictures = pc.list_flatten(media)
        pictures = pictures.filter(pc.equal(pc.struct_field(pictures, "kind"), "image"))
        found.update(pc.struct_field(pictures, "image_id").drop_null().to_pylist())
    seen = look_at(
        platform.store,
        platform.store.require(IMAGES, unified.partition),
        pa.array(sorted(found), pa.string()),
        tagger.model,
        platform.settings.ram_plus.files().options,
        workers=platform.settings.tagger_workers,
        on_progress=None if on_progress is None else lambda done, total: on_progress("look", done, total),
    )
    return replace(tagger, seen=seen)


def require_parallel(unified: Published, other: Published) -> None:
    """Refuse a table that was made from another version of ``unified``: its shards are cut otherwise.

    Raises:
        StoreError: says what to materialize again.
    """
    made_from = other.inputs.get("unified", unified.data_version)
    if made_from != unified.data_version or len(other.shards) != len(unified.shards):
        raise StoreError(
            f"{other.table.name} of {other.partition} was made from another version of unified; materialize"
            f" {other.table.name} again first"
        )


def kept_rows(unified: Published, shard: Shard, kept: pa.Table, columns: tuple[str, ...]) -> pa.Table:
    """Rows of one shard of ``unified`` that a later stage kept, in source order.

    Args:
        unified: the table.
        shard: one of its shards.
        kept: ``sample_id`` and ``verdict`` of the parallel shard of the later stage.
        columns: columns to read; ``sample_id`` among them.

    Raises:
        StoreError: if a kept sample is not in the shard.
    """
    ids = kept.filter(pc.equal(kept.column("verdict"), KEEP)).column("sample_id")
    rows = unified.read_shard(shard, columns)
    rows = rows.filter(pc.is_in(rows.column("sample_id"), value_set=ids.combine_chunks()))
    if rows.num_rows != len(ids):
        raise StoreError(
            f"{unified.uri}: {len(ids) - rows.num_rows} kept samples are not in shard {shard.key};"
            " materialize deduped and what follows again"
        )
    return rows


def grouped(places: Sequence[int], shards: Sequence[Shard]) -> Iterator[list[int]]:
    """Places of shards, in order, so that a group's shards have few rows in all: work on a batch costs the
    same for one row as for thousands. A large shard is a group of its own."""
    group: list[int] = []
    rows = 0
    for place in places:
        if group and rows + shards[place].rows > GROUP_ROWS:
            yield group
            group, rows = [], 0
        group.append(place)
        rows += shards[place].rows
    if group:
        yield group


def _tag(
    transaction: Transaction,
    unified: Published,
    deduped: Published,
    places: Mapping[str, int],
    tagger: Tagger,
    labeller: Labeller,
    model: TaggingModel,
) -> Iterator[Made]:
    """Tag several shards as one batch, and stage each under its key, or aside where a run may do more."""
    rows = []
    for place in places.values():
        kept = deduped.read_shard(deduped.shards[place], ["sample_id", "verdict"])
        rows.append(kept_rows(unified, unified.shards[place], kept, UNIFIED_COLUMNS))
    tagger, labeller, problems = model.about(rows, tagger, labeller)
    tagged, first = tag_batch(pa.concat_tables(rows), tagger, labeller), 0
    for key, part, told in zip(places, rows, problems, strict=True):
        table = tagged.slice(first, part.num_rows)
        first += part.num_rows
        stats = _stats(table) | {"label_problems": dict(told.labels), "tag_problems": dict(told.tags)}
        if told.costs:
            stats["costs"] = to_json(told.costs)
        under = key_of(key, table_digest(table)) if told.passing else key
        yield Made(key, transaction.stage(under, table, stats), told.costs)


def _stats(table: pa.Table) -> dict[str, Any]:
    return verdict_stats(table, TAGGED.key) | {
        "ids": table_digest(table.select(["sample_id"])),  # what filtered depends on: not on the tags
        "tagged": pc.sum(pc.greater(pc.list_value_length(table.column("image_tags")), 0)).as_py() or 0,
        "question_types": _counts(table.column("question_type")),
        "instructions": _counts(pc.list_flatten(table.column("instruction_l3"))),
    }


def _counts(values: pa.ChunkedArray) -> dict[str, int]:
    return {
        str(entry["values"]): entry["counts"] for entry in pc.value_counts(values.drop_null()).to_pylist()
    }


def _sum(shards: list[Shard], name: str) -> dict[str, int]:
    total: dict[str, int] = {}
    for shard in shards:
        for code, count in shard.stats.get(name, {}).items():
            total[code] = total.get(code, 0) + count
    return dict(sorted(total.items()))
