"""The formats. A new one is one module and one line here."""

from __future__ import annotations

from collections.abc import Mapping

from infinity_assets.errors import StoreError
from infinity_assets.stages.exported.base import Exporter
from infinity_assets.stages.exported.finevision import FineVision
from infinity_assets.stages.exported.infinity_mm import InfinityMM
from infinity_assets.stages.exported.llava import Llava
from infinity_assets.stages.exported.webdataset import WebDataset

EXPORTERS: Mapping[str, Exporter] = {e.format: e for e in (Llava(), InfinityMM(), WebDataset(), FineVision())}


def exporter(format_name: str) -> Exporter:
    """The exporter of a format.

    Raises:
        StoreError: if there is none; the message says which there are.
    """
    if format_name not in EXPORTERS:
        raise StoreError(f"no exporter for {format_name!r}; there are: {', '.join(EXPORTERS)}")
    return EXPORTERS[format_name]
