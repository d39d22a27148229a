"""What measuring every image costs, against only decoding it.

Run: ``python -m benchmarks.image_measures [--data DIR] [--rounds N]``. The files are read beforehand. The
plain decode is the cheapest of Pillow, OpenCV and simplejpeg for each group of files (format and mode), to
the file's natural mode. Both sides run in turn on one thread, in process CPU time; figures are medians. As in
the pipeline, pictures are measured as a batch.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import io
import json
import pstats
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import simplejpeg
from PIL import Image

from infinity_assets.stages.images.limits import Limits
from infinity_assets.stages.images.measure import measure_image, measure_images

FOLDERS = (
    "clothing_photos",
    "coco_tiny",
    "gaokao_zh",
    "bi_docs_charts_ui",
    "table_pages",
    "easy_vqa",
    "near_dup_ukbench",
)
EXTENSIONS = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp"}
TARGET = 1.5


def _pillow(data: bytes) -> None:
    Image.open(io.BytesIO(data)).load()


def _opencv(data: bytes) -> None:
    cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)


def _opencv_rgb(data: bytes) -> None:
    cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)


def _simplejpeg(data: bytes) -> None:
    simplejpeg.decode_jpeg(data, "RGB")


def _simplejpeg_grey(data: bytes) -> None:
    simplejpeg.decode_jpeg(data, "GRAY")


def _decode(decoder: Callable[[bytes], None], datas: Sequence[bytes]) -> None:
    for data in datas:
        decoder(data)


def _measure(datas: Sequence[bytes]) -> None:
    measure_images([(None, data) for data in datas], Limits())


def _seconds(work: Callable[..., None], *given: Any) -> float:
    gc.collect()
    start = time.process_time()
    work(*given)
    return time.process_time() - start


def _decoders(group: tuple[str, str]) -> list[Callable[[bytes], None]]:
    extra = {
        ("jpeg", "RGB"): [_simplejpeg],
        ("jpeg", "L"): [_simplejpeg_grey],
        ("png", "RGB"): [_opencv_rgb],
    }
    return [_pillow, _opencv, *extra.get(group, [])]


def main() -> None:
    """Print a table and, last, one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    default = Path(__file__).resolve().parents[1].parent / "shared" / "data" / "real"
    parser.add_argument("--data", type=Path, default=default)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--profile", action="store_true", help="also say where each second of measuring goes")
    args = parser.parse_args()
    cv2.setNumThreads(1)

    files = [
        path
        for folder in FOLDERS
        for path in sorted((args.data / folder).rglob("*"))
        if path.suffix.lower() in EXTENSIONS and path.is_file()
    ]
    groups: dict[tuple[str, str], list[bytes]] = defaultdict(list)
    quarantined = 0
    for path in files:
        data = path.read_bytes()
        row = measure_image(data, path.name, Limits())
        if row.verdict == "keep":
            groups[str(row.format), str(row.mode)].append(data)
        else:
            quarantined += 1

    best = {}
    for group, datas in groups.items():
        costs = {
            decoder: min(_seconds(_decode, decoder, datas) for _ in range(2)) for decoder in _decoders(group)
        }
        best[group] = min(costs, key=costs.__getitem__)

    plain: dict[tuple[str, str], list[float]] = defaultdict(list)
    by_pillow: dict[tuple[str, str], list[float]] = defaultdict(list)
    measured: dict[tuple[str, str], list[float]] = defaultdict(list)
    for _ in range(args.rounds):
        for group, datas in groups.items():
            plain[group].append(_seconds(_decode, best[group], datas))
            by_pillow[group].append(_seconds(_decode, _pillow, datas))
            measured[group].append(_seconds(_measure, datas))

    print(f"{'group':<14}{'files':>6}  {'fastest decoder':<18}{'decode s':>9}{'measure s':>10}{'ratio':>7}")
    for group in sorted(groups, key=lambda g: -statistics.median(measured[g])):
        a, b = statistics.median(plain[group]), statistics.median(measured[group])
        name = best[group].__name__.strip("_")
        print(f"{' '.join(group):<14}{len(groups[group]):>6}  {name:<18}{a:>9.3f}{b:>10.3f}{b / a:>7.2f}")
    if args.profile:
        profile = cProfile.Profile()
        profile.runcall(_seconds, _measure, [x for d in groups.values() for x in d])
        pstats.Stats(profile).sort_stats("tottime").print_stats(25)

    decode_s, pillow_s, measure_s = (
        statistics.median(map(sum, zip(*costs.values(), strict=True)))
        for costs in (plain, by_pillow, measured)
    )
    ratio = measure_s / decode_s
    figures = {
        "files": len(files),
        "quarantined": quarantined,
        "rounds": args.rounds,
        "decode_cpu_s": round(decode_s, 3),
        "decode_by_pillow_cpu_s": round(pillow_s, 3),
        "measure_cpu_s": round(measure_s, 3),
        "ratio": round(ratio, 3),
        "ratio_to_pillow": round(measure_s / pillow_s, 3),
    }
    above = [
        " ".join(g) for g in groups if statistics.median(measured[g]) > TARGET * statistics.median(plain[g])
    ]
    why = (
        f"{', '.join(above)} lie above: every pixel is hashed and halved, and any picture takes some calls"
        if ratio > TARGET
        else ""
    )
    print(
        json.dumps(
            {
                "name": "image_measures",
                "figures": figures,
                "target": f"measures cost at most {TARGET} times a plain decode",
                "met": ratio <= TARGET,
                "why": why,
            }
        )
    )


if __name__ == "__main__":
    main()
