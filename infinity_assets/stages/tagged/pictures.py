"""Image tags seen in pixels: each picture is looked at once for each model, as sharded work, and kept.

What a model saw lies beside the tables, under the model's hash: a rerun, another tree of instructions or a
moved threshold looks at no picture again. It is kept as logits; the policy and each tag's threshold decide
afterwards which tags count.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from infinity_assets.errors import StoreError
from infinity_assets.models.taggers.engines import open_tagger
from infinity_assets.models.taggers.protocol import Options, Picture, PictureTags
from infinity_assets.sharding.plan import Plan, Task
from infinity_assets.sharding.pool import run_plan
from infinity_assets.stages.images.decode import check_limits, decode, read_header
from infinity_assets.stages.images.limits import ImageProblem, Limits
from infinity_assets.stages.images.schema import IMAGES
from infinity_assets.stages.images.sniff import refuse_unsupported, sniff
from infinity_assets.store.digests import key_of
from infinity_assets.store.objects import Objects
from infinity_assets.store.tables import Published, Store

#: What a tag that was seen says of where it comes from.
SEEN: Final = "picture"

#: Longest that one shard of pictures (64 MiB or 1,024) may take, loading the model included. Our
#: choice: hours of a large model on a CPU are a mistake to be told about.
TIMEOUT_S: Final = 3_600.0

_SCHEMA: Final = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("tags", pa.list_(pa.dictionary(pa.int32(), pa.string())), nullable=False),
        pa.field("logits", pa.list_(pa.float32()), nullable=False),
    ]
)


@dataclass(frozen=True)
class SeenTagger:
    """Tags that a model saw and that count; a :class:`~infinity_assets.models.taggers.protocol.Tagger`.

    A sample of several pictures has the tags of all, each with its highest logit.
    """

    label: str  #: name and version of the list of tags
    model: str  #: hash of the model
    cuts: Mapping[str, float]  #: for each tag the logit that its threshold stands for, to be exceeded
    min_logit: float  #: the least logit of any tag that counts
    seen: pl.DataFrame  #: ``image_id``, ``tag``, ``logit``

    @property
    def hash(self) -> str:
        """32 hex characters of everything that decides which tags a picture gets."""
        return key_of("seen", self.model, sorted(self.cuts.items()), self.min_logit)

    def tags(self, samples: pl.DataFrame) -> pl.DataFrame:
        """See :class:`~infinity_assets.models.taggers.protocol.Tagger`."""
        media = pl.element().filter(pl.element().struct.field("kind") == "image").struct.field("image_id")
        shown = (
            samples.select("row", image_id=pl.col("media").list.eval(media)).explode("image_id").drop_nulls()
        )
        found = shown.join(self.seen, on="image_id").group_by("row", "tag").agg(pl.col("logit").max())
        cut = pl.col("tag").replace_strict(dict(self.cuts), default=math.inf, return_dtype=pl.Float64)
        counts = (pl.col("logit") >= self.min_logit) & (pl.col("logit") > cut)
        return found.filter(counts).select("row", "tag", source=pl.lit(SEEN), logit="logit")


def look_at(
    store: Store,
    images: Published,
    wanted: pa.Array,
    model: str,
    options: Options,
    *,
    workers: int,
    on_progress: Callable[[int, int], None] | None = None,
) -> pl.DataFrame:
    """What a model sees in some pictures; those that it has seen before are not looked at again.

    Args:
        images: the table that holds them.
        wanted: their ids.
        model: its hash.
        options: what :func:`~infinity_assets.models.taggers.engines.open_tagger` takes.
        workers: processes, each with the model loaded: one for each GPU.

    Returns:
        ``image_id``, ``tag``, ``logit``; nothing for a picture without a tag.

    Raises:
        StoreError: if a worker died, or a picture is not in the table.
    """
    folder = f"_picture_tags/{images.partition}/{model}"
    known = _known(store.objects, folder)
    missing = wanted.filter(pc.invert(pc.is_in(wanted, known.column("image_id").combine_chunks())))
    tasks = list(_tasks(images, missing, model, options, folder)) if len(missing) else []
    run_plan(
        store.root,
        Plan("picture_tags", images.partition, tuple(tasks)),
        workers=workers,
        timeout_s=TIMEOUT_S,
        on_death=_died,
        on_progress=on_progress,
    )
    if tasks:
        known = _known(store.objects, folder)
    known = known.filter(pc.is_in(known.column("image_id"), wanted))
    if len(absent := wanted.filter(pc.invert(pc.is_in(wanted, known.column("image_id").combine_chunks())))):
        raise StoreError(
            f"{images.uri}: {len(absent)} pictures of samples are missing; materialize unified again"
        )
    # Two runs at once may both have looked at a picture; they saw the same.
    frame = pl.DataFrame(pl.from_arrow(known)).unique("image_id", keep="first", maintain_order=True)
    frame = frame.filter(pl.col("tags").list.len() > 0).explode("tags", "logits")
    return frame.select("image_id", tag=pl.col("tags").cast(pl.String), logit="logits")


def _tasks(images: Published, missing: pa.Array, model: str, options: Options, folder: str) -> Iterator[Task]:
    """One task for each shard of ``images`` with pictures to be looked at: bytes are read once."""
    for place, shard in enumerate(images.shards):
        ids = images.read_shard(shard, ["image_id"]).column("image_id")
        ids = ids.filter(pc.is_in(ids, missing)).to_pylist()
        if ids:
            payload = {
                "source": images.partition,
                "version": images.version,
                "shard": place,
                "ids": ids,
                "options": options,
                "folder": folder,
            }
            yield Task("picture_tags", key_of("picture_tags", model, *sorted(ids)), payload)


def run_picture_tags(root: str, key: str, payload: Mapping[str, Any]) -> None:
    """Look at the pictures of one shard and put what was seen under ``key``.

    Raises:
        StoreError: if the pictures are gone, or one that was decoded before cannot be decoded now.
    """
    store = Store(root)
    images = store.past(IMAGES, payload["source"], payload["version"])
    if images is None:
        raise StoreError(f"images of {payload['source']} changed under this run; run it again")
    stored = images.read_shard(images.shards[payload["shard"]], ["image_id", "bytes"])
    stored = stored.filter(pc.is_in(stored.column("image_id"), pa.array(payload["ids"])))
    ids = stored.column("image_id").to_pylist()
    pictures = (Picture(i, data.as_py()) for i, data in zip(ids, stored.column("bytes"), strict=True))
    seen = open_tagger(payload["options"], rgb).tag(pictures)
    store.objects.put(f"{payload['folder']}/{key}.arrow", _packed(seen))


def rgb(data: bytes) -> npt.NDArray[np.uint8]:
    """Upright RGB pixels ``(height, width, 3)``; transparency is left out, as RAM++'s own code does.

    Raises:
        StoreError: if the picture cannot be decoded, which ``images`` did once.
    """
    limits, kind = Limits(), sniff(data)
    try:
        refuse_unsupported(data, kind)
        header = read_header(data, str(kind), limits)
        check_limits(data, header, limits)
        pixels = decode(data, header)
    except ImageProblem as problem:
        raise StoreError(
            f"a stored picture cannot be decoded any more: {problem}; materialize unified again"
        ) from problem
    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    if pixels.ndim == 2:
        pixels = np.broadcast_to(pixels[:, :, None], (*pixels.shape, 3))
    return np.ascontiguousarray(pixels[:, :, :3], dtype=np.uint8)


def _packed(seen: Iterable[PictureTags]) -> bytes:
    rows = list(seen)
    columns = {
        "image_id": [row.image_id for row in rows],
        "tags": [row.tags for row in rows],
        "logits": [row.logits for row in rows],
    }
    plain = pa.table(
        columns, pa.schema([_SCHEMA.field(0), ("tags", pa.list_(pa.string())), _SCHEMA.field(2)])
    )
    tags = plain.column("tags").combine_chunks()
    coded = pa.ListArray.from_arrays(tags.offsets, tags.values.dictionary_encode())
    table = pa.table([plain.column(0), coded, plain.column(2)], _SCHEMA)
    out = io.BytesIO()
    with pa.ipc.new_file(out, _SCHEMA, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)
    return out.getvalue()


def _known(objects: Objects, folder: str) -> pa.Table:
    """All that a model saw of a source so far."""
    parts = []
    for name in objects.children(folder):
        data = objects.get(f"{folder}/{name}")
        if data is not None:
            parts.append(pa.ipc.open_file(data).read_all())
    return pa.concat_tables(parts) if parts else _SCHEMA.empty_table()


def _died(task: Task, why: str) -> Sequence[Task]:
    raise StoreError(
        f"tagging {len(task.payload['ids'])} pictures of {task.payload['source']}: {why}; is there"
        " memory enough for the model and its batch? What was seen before is kept: run again"
    )
