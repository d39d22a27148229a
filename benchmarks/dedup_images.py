"""Equal and near pictures among real and drawn ones with planted copies, beside imagededup and Data-Juicer.

Run: ``python -m benchmarks.dedup_images [--data DIR] [--real N] [--drawn N]``. All readable pictures of the
real data stand there once, so do drawn ones, and of a seeded choice of both a copy: resized, encoded again,
brighter, watermarked, cropped and such, each equally often (``SAME`` of ``benchmarks/_same_pictures.py``).
Each side is a process of its own that reads the files and writes the pairs it found; CPU is of the process
and all below it. Peers are installed under ``.envs`` where they are not there, and are spared the import of a
neural network. imagededup joins pHashes within 4, Data-Juicer equal ones.

Ours is the ledger's: every measure of a picture, the exact search within 10 and both witnesses. Beside the
whole, from files to pairs, stands what is left of it where ``images`` stored the measures already (search and
witnesses), and, in a process of its own, imagededup's rule: all measures and a search within 4, no witness.
No side can cost less than to decode the files, so that stands there as well, by our decoder and by Pillow,
which is the peers', and the ratio of what each side spends beyond it.

*Same* are a picture and its copy, files with equal pixels, and real pairs so labelled in
``duplicate_pictures.csv``. *Different* are pictures of different origin, but that real ones of one folder are
known to be so only where a label says it or where the folder is easy_vqa's, whose drawings all differ, and
that the same formula is drawn twice on other paper; such pairs are counted as unjudged.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import json
import random
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
from PIL import Image, ImageOps

from benchmarks._common import REAL_DATA, REPOSITORY, Spent, install_peer, report, spend
from benchmarks._data_juicer import HOME as DATA_JUICER
from benchmarks._data_juicer import kept, run_data_juicer
from benchmarks._image_peers import RADIUS
from benchmarks._pair_bases import drawn, encode, flat
from benchmarks._picture_pairs import LABELS
from benchmarks._same_pictures import SAME
from benchmarks.image_measures import EXTENSIONS, FOLDERS
from infinity_assets.similarity.crops import PARTS, crop_hashes
from infinity_assets.similarity.hamming import near_pairs
from infinity_assets.similarity.pictures import PHASH_RADIUS
from infinity_assets.stages.duplicate_ledger import near_images as near
from infinity_assets.stages.duplicate_ledger.cropped import crop_pairs
from infinity_assets.stages.duplicate_ledger.keys import Keys, Rows, first_equal, keys_of_hex
from infinity_assets.stages.duplicate_ledger.samples import Pictures
from infinity_assets.stages.images.decode import decode, read_header
from infinity_assets.stages.images.limits import Limits
from infinity_assets.stages.images.measure import ImageMeasures, measure_images
from infinity_assets.stages.images.sniff import sniff
from infinity_assets.store.objects import Objects

TARGET_RATIO = 5.0
TARGET = (
    f"from files to pairs at least {TARGET_RATIO:g} times less CPU time than imagededup and than Data-Juicer"
)
ROOMS = ("charts", "tables", "documents", "screens", "formulas", "scenes")
#: Folders and rooms in which no picture is another one.
DISTINCT = {"easy_vqa", *ROOMS} - {"formulas"}
PEER = REPOSITORY / ".envs" / "imagededup"
PEER_SCRIPT = Path(__file__).with_name("_image_peers.py")
#: Its torch and torchvision are stood in for by nothing.
PEER_PACKAGES = ("numpy", "pillow", "tqdm", "scikit-learn", "PyWavelets", "matplotlib")
PEER_PACKAGES_ALONE = ("imagededup==0.3.3.post2",)
PEER_LIMIT_S = 900

Pairs = set[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class File:
    """One picture of the set."""

    origin: str  #: the picture that it is, or is a copy of
    copied: str  #: how; empty for an original
    pixels: str  #: equal where pixels are


def main() -> None:
    """Print a table and, last, one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=REAL_DATA, help="folder of the real data")
    parser.add_argument("--real", type=int, default=1_000_000, help="real pictures at most")
    parser.add_argument("--drawn", type=int, default=300, help="drawn pictures")
    parser.add_argument("--ours", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.ours:
        rule, folder, output = args.ours
        _find(rule, Path(folder), Path(output))
        return
    data = args.data.resolve()
    missing = [folder for folder in FOLDERS if not (data / folder).is_dir()]
    if missing:
        report("dedup_images", {}, TARGET, None, f"no {', '.join(missing)} in {data}; give --data")
        return
    sides: dict[str, tuple[Spent, Pairs]] = {}
    absent = []
    with tempfile.TemporaryDirectory() as name:
        temporary = Path(name)
        folder = temporary / "pictures"
        folder.mkdir()
        files = _pictures(folder, data, args.real, args.drawn)
        ours, told = _ours(folder, temporary, "witnesses")
        sides["ours"] = ours, _pairs(told["pairs"])
        hashed, hashes = _ours(folder, temporary, "hashes")
        sides["ours, hashes alone"] = hashed, _pairs(hashes["pairs"])
        floor = {by: _ours(folder, temporary, by)[0].cpu_s for by in ("decoded", "decoded_by_pillow")}
        for peer, run in PEERS.items():
            spent, pairs = run(folder, temporary)
            if spent is None or isinstance(pairs, str):
                absent.append(f"{peer}: {pairs}")
            else:
                sides[peer] = spent, pairs
    truth = Truth(files)
    figures: dict[str, Any] = {
        "files": len(files),
        "same_pairs": len(truth.same),
        "pairs_looked_at": told["looked_at"],
        "measures_cpu_s": round(told["measures_s"], 2),
        "stored_measures_to_pairs_cpu_s": round(told["pairs_s"], 2),
        **{f"{by}_alone_cpu_s": round(seconds, 2) for by, seconds in floor.items()},
    }
    print(f"{'':<20}{'CPU s':>8}{'recall':>9}{'precision':>11}{'found':>8}{'unjudged':>10}")
    for side, (spent, pairs) in sides.items():
        quality = truth.quality(pairs)
        figures[side] = spent.figures() | quality
        shown = f"{spent.cpu_s:>8.1f}{quality['recall']:>9.4f}{quality['precision']:>11.4f}"
        print(f"{side:<20}{shown}{len(pairs):>8}{quality['unjudged']:>10}")
    truth.print_kinds({side: pairs for side, (_, pairs) in sides.items()})
    costs = {"files_to_pairs": ours.cpu_s, "hashes_alone": hashed.cpu_s, "stored_measures": told["pairs_s"]}
    ratios = {
        name: {peer: round(sides[peer][0].cpu_s / cost, 1) for peer in PEERS if peer in sides}
        for name, cost in costs.items()
    }
    figures["cpu_ratio"] = ratios
    beyond = ours.cpu_s - floor["decoded"]
    figures["cpu_ratio_beyond_decoding"] = {
        peer: round((sides[peer][0].cpu_s - floor["decoded_by_pillow"]) / beyond, 1)
        for peer in PEERS
        if peer in sides
    }
    slow = [
        f"{peer}: {ratio} times" for peer, ratio in ratios["files_to_pairs"].items() if ratio < TARGET_RATIO
    ]
    if slow:
        slow.append(
            f"of {ours.cpu_s:.1f} CPU-seconds {told['measures_s']:.1f} are for measures,"
            f" {told['pairs_s']:.1f} for search and witnesses; to decode the files alone takes"
            f" {floor['decoded']:.1f}"
        )
    met = None if absent and not slow else not slow
    report("dedup_images", figures, TARGET, met, "; ".join([*slow, *absent]))


# -- the set ----------------------------------------------------------------------------------------------


def _pictures(folder: Path, data: Path, real: int, drawings: int) -> dict[str, File]:
    """Write the set; gives its files by name."""
    r = random.Random("dedup_images")
    paths = [
        path
        for name in FOLDERS
        for path in sorted((data / name).rglob("*"))
        if path.suffix.lower() in EXTENSIONS and path.is_file()
    ]
    paths = sorted(r.sample(paths, min(real, len(paths))))
    originals: list[tuple[str, bytes]] = [(str(p.relative_to(data)), p.read_bytes()) for p in paths]
    for seed in range(drawings):
        room = ROOMS[seed % len(ROOMS)]
        originals.append((f"drawn/{room}/{seed}", encode(drawn(room, seed))))
    files: dict[str, File] = {}

    def put(origin: str, content: bytes, copied: str) -> Image.Image | None:
        name = f"{len(files):06d}{Path(origin).suffix if not copied else ''}"
        path = folder / (name if "." in name else f"{name}.png")
        path.write_bytes(content)
        try:
            image = ImageOps.exif_transpose(Image.open(path))
            image.load()
        except OSError:
            path.unlink()  # broken on purpose by its publisher
            return None
        rgba = image.convert("RGBA")
        pixels = hashlib.blake2b(rgba.tobytes(), key=str(rgba.size).encode(), digest_size=16).hexdigest()
        files[path.name] = File(origin, copied, pixels)
        return image

    kinds = list(SAME)
    for origin, content in originals:
        image = put(origin, content, "")
        if image is not None and min(image.size) >= 40 and (r.random() < 0.1 or origin.startswith("drawn/")):
            kind = kinds[sum(bool(file.copied) for file in files.values()) % len(kinds)]
            made = SAME[kind](image if image.mode == "1" else flat(image), random.Random(f"{origin}/{kind}"))
            put(origin, made if isinstance(made, bytes) else encode(made), kind)
    return files


class Truth:
    """Which pairs of files are the same, which are not, and of which nobody knows."""

    def __init__(self, files: dict[str, File]) -> None:
        self._files = files
        with LABELS.open(encoding="utf-8", newline="") as rows:
            self._labels = {_pair(row["left"], row["right"]): row["label"] for row in csv.DictReader(rows)}
        first: dict[str, str] = {}  # origins with equal pixels are one picture, the first of them
        one = {f.origin: first.setdefault(f.pixels, f.origin) for f in files.values() if not f.copied}
        by: defaultdict[str, list[str]] = defaultdict(list)
        for name, file in files.items():
            by[one[file.origin]].append(name)
        self.same = {_pair(a, b) for names in by.values() for a, b in combinations(names, 2)}
        firsts = {file.origin: name for name, file in files.items() if not file.copied}
        for (left, right), label in self._labels.items():
            if label == "same" and left in firsts and right in firsts:
                self.same.add(_pair(firsts[left], firsts[right]))

    def is_different(self, pair: tuple[str, str]) -> bool:
        """Whether the pair is known to be different."""
        one, other = (self._files[name] for name in pair)
        label = self._labels.get(_pair(one.origin, other.origin))
        if label is not None:
            return label != "same"
        folders = {_folder(one), _folder(other)}
        return len(folders) > 1 or folders <= DISTINCT

    def quality(self, pairs: Pairs) -> dict[str, float]:
        """Shares of what is known."""
        right = len(pairs & self.same)
        wrong = sum(self.is_different(pair) for pair in pairs - self.same)
        return {
            "recall": round(right / max(len(self.same), 1), 4),
            "precision": round(right / max(right + wrong, 1), 4),
            "joined_different": wrong,
            "unjudged": len(pairs) - right - wrong,
        }

    def print_kinds(self, found: dict[str, Pairs]) -> None:
        """Recall by what was done to the copy, and of what the wrong pairs are."""
        kinds = {pair: max(self._files[name].copied for name in pair) or "real" for pair in self.same}
        total = Counter(kinds.values())
        print(f"\n{'recall of copies':<20}{'pairs':>6}" + "".join(f"{name[:18]:>20}" for name in found))
        for kind, count in sorted(total.items()):
            hits = (sum(kinds[p] == kind for p in pairs & self.same) for pairs in found.values())
            print(f"{kind:<20}{count:>6}" + "".join(f"{hit / count:>20.1%}" for hit in hits))
        wrong = {
            side: Counter(self._folders(pair) for pair in pairs - self.same if self.is_different(pair))
            for side, pairs in found.items()
        }
        print(f"\n{'different, joined':<26}" + "".join(f"{name[:18]:>20}" for name in found))
        for folders in sorted({folders for counts in wrong.values() for folders in counts}):
            print(f"{folders[:26]:<26}" + "".join(f"{counts[folders]:>20}" for counts in wrong.values()))

    def _folders(self, pair: tuple[str, str]) -> str:
        """Where the two are from."""
        return " & ".join(sorted({_folder(self._files[name]) for name in pair}))


def _folder(file: File) -> str:
    """The folder of real data or the room of the drawer."""
    return file.origin.removeprefix("drawn/").split("/")[0]


def _pair(a: str, b: str) -> tuple[str, str]:
    return (a, b) if a < b else (b, a)


def _pairs(found: Iterable[list[str]]) -> Pairs:
    return {_pair(a, b) for a, b in found}


# -- the sides --------------------------------------------------------------------------------------------


def _ours(folder: Path, temporary: Path, rule: str) -> tuple[Spent, dict[str, Any]]:
    """What a process of ours spent and what it told."""
    output = temporary / f"{rule}.json"
    spent = spend([sys.executable, "-m", "benchmarks.dedup_images", "--ours", rule, folder, output])
    if spent.code != 0:
        raise RuntimeError(spent.output[-2000:])
    return spent, json.loads(output.read_text())


def _find(rule: str, folder: Path, output: Path) -> None:
    """Our side: read, measure, search, look, write."""
    cv2.setNumThreads(1)
    if rule.startswith("decoded"):
        _decode(folder, by_pillow=rule == "decoded_by_pillow")
        output.write_text("{}")
        return
    clock = time.process_time()
    files = sorted(folder.iterdir())
    read = list(zip(files, measure_images(((p.name, p.read_bytes()) for p in files), Limits()), strict=True))
    measured = time.process_time() - clock
    paths = [path for path, row in read if row.phash]
    rows = [row for _, row in read if row.phash]
    phash = np.array([int.from_bytes(row.phash or b"") for row in rows], np.uint64)
    clock = time.process_time()
    if rule == "hashes":
        hashes, node = np.unique(phash, return_inverse=True)
        close = near_pairs(hashes, RADIUS)
        joined, looked_at = (close.left, close.right), 0
    else:
        pixels = keys_of_hex(pa.array([row.pixel_hash for row in rows]))
        node = first_equal(pixels[:, 0], pixels[:, 1])
        found = _near(node, pixels, phash, paths, rows)
        same = found.of(near.SAME)
        joined, looked_at = (same.later, same.earlier), found.compared
    members: defaultdict[int, list[str]] = defaultdict(list)
    for path, number in zip(paths, node.tolist(), strict=True):
        members[number].append(path.name)
    pairs = [pair for names in members.values() for pair in combinations(names, 2)]
    for one, other in zip(*(side.tolist() for side in joined), strict=True):
        pairs += product(members[one], members[other])
    told = {"pairs": pairs, "looked_at": looked_at, "measures_s": measured}
    output.write_text(json.dumps(told | {"pairs_s": time.process_time() - clock}))


def _decode(folder: Path, *, by_pillow: bool) -> None:
    """Decode each file and do nothing with it."""
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        if by_pillow:
            Image.open(io.BytesIO(data)).convert("RGB")
        else:
            decode(data, read_header(data, str(sniff(data)), Limits()))


def _near(
    node: Rows, pixels: Keys, phash: Any, paths: Sequence[Path], rows: Sequence[ImageMeasures]
) -> near.NearImages:
    """The ledger's near pictures, nothing remembered; signatures and files as ``images`` would give them."""
    low = np.array([bool(row.low_detail) for row in rows])
    comparable = ~low & np.array([row.signature is not None for row in rows])
    all_ = np.arange(len(rows))
    parts = np.zeros((len(rows), len(PARTS)), np.uint64)
    for row in np.flatnonzero(comparable).tolist():
        parts[row] = crop_hashes(rows[row].signature or b"")
    pictures = Pictures(pixels, all_, node, pixels, phash, low, comparable, np.zeros_like(all_), all_, parts)
    witness = near.Witness(
        lambda wanted: [rows[i].signature or b"" for i in wanted.tolist()],
        lambda wanted: [paths[i].read_bytes() for i in wanted.tolist()],
    )
    with tempfile.TemporaryDirectory() as store:
        objects = Objects(store)
        pairs = near.hash_pairs(np.unique(phash[comparable]), PHASH_RADIUS, objects)
        crops = crop_pairs(np.unique(parts), np.unique(phash[comparable]), PHASH_RADIUS, objects)
        return near.near_images(pictures, pairs, crops, witness, near.Memory(objects, "compared_pictures"), 1)


def _imagededup(folder: Path, temporary: Path) -> tuple[Spent | None, Pairs | str]:
    """What imagededup spent and found, or None and why there is nothing."""
    refused = install_peer(PEER, PEER_PACKAGES, PEER_PACKAGES_ALONE, PEER_LIMIT_S)
    if refused is not None:
        return None, refused
    output = temporary / "imagededup.json"
    spent = spend([PEER / "bin" / "python", PEER_SCRIPT, "find", folder, output], cwd=temporary)
    if spent.code != 0:
        return None, f"failed: {spent.output[-1000:]}"
    return spent, _pairs(json.loads(output.read_text()))


def _data_juicer(folder: Path, temporary: Path) -> tuple[Spent | None, Pairs | str]:
    """What Data-Juicer spent, and the pairs whose hashes it found equal."""
    work = temporary / "data-juicer"
    work.mkdir()
    paths = sorted(folder.iterdir())
    spent, absent = run_data_juicer(work, paths, [{"image_deduplicator": {"method": "phash"}}])
    if spent is None:
        return None, absent
    output = work / "hashes.json"
    hashed = spend([DATA_JUICER / "bin" / "python", PEER_SCRIPT, "hash", folder, output], cwd=work)
    if hashed.code != 0:
        return None, f"failed: {hashed.output[-1000:]}"
    members: defaultdict[str, list[str]] = defaultdict(list)
    for name, value in sorted(json.loads(output.read_text()).items()):
        members[value].append(name)
    if {Path(path).name for path in kept(work)} != {names[0] for names in members.values()}:
        return None, "it kept other pictures than its hashes say"
    return spent, {pair for names in members.values() for pair in combinations(names, 2)}


PEERS = {"imagededup": _imagededup, "Data-Juicer": _data_juicer}

if __name__ == "__main__":
    main()
