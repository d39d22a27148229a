"""Infinity-MM's profile of webdataset tars: one ``.json`` and one ``.jpg`` a key (card of arXiv 2410.18558).

The picture's member is called ``.jpg`` whatever it is, as upstream does; its true suffix stands in the JSON's
``image``. A text-only line has a ``.jpg`` of zero bytes and an empty ``image``. Upstream drops conversations
with several pictures; here the second, third, ... follow as ``.1.jpg``, ``.2.jpg`` and ``image`` is a list:
no line is lost, and readers of the strict profile can tell such lines by their members.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from infinity_assets.readers.infinity_mm import UPSTREAM
from infinity_assets.stages.exported.base import Sample, conversations
from infinity_assets.stages.exported.files import Data
from infinity_assets.stages.exported.tars import TarFormat


class InfinityMM(TarFormat):
    """``phash`` is ours where the source ships none: a list of unsigned 64-bit integers, one a picture."""

    format = "infinity_mm"
    version = 1

    def members(self, sample: Sample) -> Iterator[tuple[str, Data]]:
        """See :class:`~infinity_assets.stages.exported.tars.TarFormat`."""
        names = [p.name for p in sample.pictures]
        record: dict[str, Any] = {
            "id": sample.key,
            "source": sample.source,
            "conversations": conversations(sample),
            "image": names if len(names) > 1 else "".join(names),
        }
        phashes = [p.phash for p in sample.pictures]
        if phashes and None not in phashes:
            record["phash"] = phashes
        if sample.upstream != "{}":
            shipped = orjson.loads(sample.upstream)
            record.update((name, shipped[name]) for name in UPSTREAM if name in shipped)
        yield f"{sample.key}.json", orjson.dumps(record)
        yield f"{sample.key}.jpg", sample.pictures[0].data if sample.pictures else b""
        for i, picture in enumerate(sample.pictures[1:], start=1):
            yield f"{sample.key}.{i}.jpg", picture.data
