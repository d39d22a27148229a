"""Renders the demo: draws, plants defects, writes formats, catalogue and truth; always the same bytes."""

from __future__ import annotations

import random
from collections.abc import Mapping
from copy import copy
from pathlib import Path

import cv2

from infinity_assets.demo.catalogue import write_catalogue
from infinity_assets.demo.defects import KINDS, DemoTruth, Planted
from infinity_assets.demo.parts import Sample
from infinity_assets.demo.planting import Account, plant
from infinity_assets.demo.sources import BUILDERS
from infinity_assets.demo.writers import Places, write_source
from infinity_assets.errors import SourceError


def render_demo(folder: Path, seed: int = 7) -> DemoTruth:
    """About 2,100 records in eleven sources, with catalogue, mix and truth; one core, some seconds.

    Args:
        folder: gets ``<source>/``, ``catalogue/<source>.yaml``, ``mixes/demo.yaml`` and ``truth.json``.
        seed: another seed gives other samples with the same kinds of defects.

    Returns:
        What was planted, as truth.json says it.

    Raises:
        SourceError: if the folder holds anything already; a demo is never mixed with other files.
    """
    if folder.exists() and any(folder.iterdir()):
        raise SourceError(f"{folder}: not empty; give the demo a folder of its own, or delete this one")
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # pictures this small are drawn faster by one
    try:
        samples = {name: build(random.Random(f"{seed}/{name}")) for name, build in BUILDERS.items()}
        account = plant(samples, random.Random(f"{seed}/defects"))
        places = {name: write_source(name, rows, folder / name) for name, rows in samples.items()}
    finally:
        cv2.setNumThreads(threads)
    truth = _truth(seed, samples, account, places)
    write_catalogue(folder, samples, seed)
    (folder / "truth.json").write_text(truth.to_json() + "\n", encoding="utf-8", newline="\n")
    return truth


def _truth(
    seed: int, samples: Mapping[str, list[Sample]], account: Account, places: Mapping[str, Places]
) -> DemoTruth:
    """The account with ids and locators, one entry for each record that shows the defect."""
    planted: list[Planted] = []
    for one, sample in account:
        index = next(i for i, s in enumerate(samples[one.source]) if s is sample)
        records = [(native, where) for k, native, where in places[one.source] if k == index]
        for number, (native, where) in enumerate(records):
            entry = copy(one)
            entry.native_id, entry.locator = native, where
            if one.group is not None:
                entry.group = f"{one.group}.{number}"
                if number and one.kind == "exact_duplicate":
                    entry.kind = "near_duplicate"  # boxes have ids of their own, so these records differ
                entry.twins = [_twin(samples, places, twin, number) for twin in one.twins]
            planted.append(entry)
    broken = {(p.source, p.locator) for p in planted if KINDS[p.kind].verdict != "annotate"}
    totals = {name: len(places[name]) for name in samples}
    clean = {name: totals[name] - sum(source == name for source, _ in broken) for name in samples}
    return DemoTruth(seed, tuple(planted), clean, totals)


def _twin(
    samples: Mapping[str, list[Sample]], places: Mapping[str, Places], twin: tuple[str, str], number: int
) -> tuple[str, str]:
    """The original's record that corresponds to the copy's: its caption or its boxes, in COCO."""
    source, native_id = twin
    index = next(i for i, s in enumerate(samples[source]) if s.native_id == native_id)
    records = [str(native) for k, native, _ in places[source] if k == index]
    return source, records[min(number, len(records) - 1)]
