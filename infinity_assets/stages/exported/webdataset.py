"""Plain webdataset tars: ``.json``, then the pictures under their true suffixes.

One picture is ``<key>.png``; several are ``<key>.0.png``, ``<key>.1.jpg``, ... in the order of their markers.
"""

from __future__ import annotations

from collections.abc import Iterator

import orjson

from infinity_assets.stages.exported.base import Sample, conversations
from infinity_assets.stages.exported.files import Data
from infinity_assets.stages.exported.tars import TarFormat


class WebDataset(TarFormat):
    """The JSON has ``id``, ``source``, ``image`` (a list of names) and ``conversations``."""

    format = "webdataset"
    version = 1

    def members(self, sample: Sample) -> Iterator[tuple[str, Data]]:
        """See :class:`~infinity_assets.stages.exported.tars.TarFormat`."""
        key, pictures = sample.key, sample.pictures
        record = {
            "id": key,
            "source": sample.source,
            "image": [p.name for p in pictures],
            "conversations": conversations(sample),
        }
        yield f"{key}.json", orjson.dumps(record)
        if len(pictures) == 1:
            yield f"{key}.{pictures[0].suffix}", pictures[0].data
        else:
            for i, picture in enumerate(pictures):
                yield f"{key}.{i}.{picture.suffix}", picture.data
