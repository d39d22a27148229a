"""Which defects stand in which source: damages some samples, adds copies of others, and keeps the account."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath

from infinity_assets.demo import damage
from infinity_assets.demo.defects import Planted
from infinity_assets.demo.parts import QA, Picture, Sample, decode, dialogue
from infinity_assets.demo.sources import YES_REGION

Samples = dict[str, list[Sample]]
Account = list[tuple[Planted, Sample]]

#: Kind of image damage -> (source, how many).
_IMAGES: Mapping[str, tuple[tuple[str, int], ...]] = {
    "corrupt_image": (("demo_scenes_llava", 3), ("demo_charts_parquet", 2), ("demo_documents_wds", 2),
        ("demo_scenes_coco", 1)),
    "truncated_image": (("demo_scenes_llava", 2), ("demo_ui_captions", 2), ("demo_documents_wds", 2),
    ("demo_things_folder", 2)),
    "oversized_image": (("demo_charts_parquet", 2), ("demo_formulas_jsonl", 2),
    ("demo_multi_image_messages", 1)),
    "zero_byte_image": (("demo_scenes_llava", 2), ("demo_ui_captions", 2), ("demo_things_folder", 1),
    ("demo_charts_parquet", 1)),
    "lfs_pointer": (("demo_scenes_coco", 2), ("demo_ui_captions", 2), ("demo_multi_image_messages", 2)),
    "missing_image": (("demo_scenes_llava", 2), ("demo_formulas_jsonl", 2), ("demo_multi_image_messages", 2)),
    "path_outside_source": (("demo_scenes_llava", 2), ("demo_formulas_jsonl", 1),
    ("demo_multi_image_messages", 1)),
    "wrong_extension": (("demo_scenes_llava", 3), ("demo_ui_captions", 3), ("demo_things_folder", 2)),
    "animated_gif": (("demo_ui_captions", 2), ("demo_scenes_llava", 2)),
}  # fmt: skip

#: Kind of damage to the conversation -> (source, how many).
_TURNS: Mapping[str, tuple[tuple[str, int], ...]] = {
    "marker_mismatch": (("demo_scenes_llava", 2), ("demo_multi_image_messages", 2),
        ("demo_documents_wds", 2)),
    "missing_marker": (("demo_scenes_llava", 3), ("demo_documents_wds", 2)),
    "empty_turn": (("demo_scenes_llava", 3), ("demo_text_alpaca", 2), ("demo_documents_wds", 2),
    ("demo_charts_parquet", 2)),
    "roles_not_alternating": (("demo_scenes_llava", 3), ("demo_multi_image_messages", 2),
    ("demo_documents_wds", 2)),
    "repeated_text": (("demo_scenes_llava", 2), ("demo_text_alpaca", 3), ("demo_charts_parquet", 2),
    ("demo_formulas_jsonl", 2)),
}  # fmt: skip

_CHANGES: Mapping[str, Callable[[Sample], None]] = {
    "marker_mismatch": damage.extra_marker,
    "missing_marker": damage.drop_marker,
    "empty_turn": damage.empty_turn,
    "roles_not_alternating": damage.two_users,
    "repeated_text": damage.repeat_text,
}

#: From, to, how many exact copies, how many near copies. Each target can hold what its origin says.
_COPIES: tuple[tuple[str, str, int, int], ...] = (
    ("demo_scenes_llava", "demo_scenes_llava", 3, 3),
    ("demo_scenes_llava", "demo_multi_image_messages", 3, 3),
    ("demo_scenes_llava", "demo_documents_wds", 2, 2),
    ("demo_charts_parquet", "demo_charts_parquet", 2, 2),
    ("demo_charts_parquet", "demo_scenes_llava", 3, 3),
    ("demo_tables_vqa", "demo_charts_parquet", 3, 2),
    ("demo_documents_wds", "demo_documents_wds", 2, 2),
    ("demo_documents_wds", "demo_scenes_llava", 2, 2),
    ("demo_formulas_jsonl", "demo_charts_parquet", 3, 2),
    ("demo_ui_captions", "demo_scenes_llava", 2, 2),
    ("demo_things_folder", "demo_multi_image_messages", 2, 2),
    ("demo_scenes_coco", "demo_scenes_coco", 2, 2),
    ("demo_text_alpaca", "demo_text_alpaca", 3, 0),
    ("demo_text_alpaca", "demo_documents_wds", 2, 0),
)

_CONTAMINATED: tuple[tuple[str, int], ...] = (
    ("demo_scenes_llava", 6), ("demo_charts_parquet", 5), ("demo_formulas_jsonl", 3),
)  # fmt: skip

_UNLICENSED: tuple[tuple[str, tuple[str | None, ...]], ...] = (
    ("demo_formulas_jsonl", (None, None, "unknown", "unknown", "CC-BY-NC-4.0", "CC-BY-NC-4.0")),
    ("demo_scenes_coco", ("unknown", "CC-BY-NC-4.0")),
)

_BAD_LINES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("demo_formulas_jsonl", ('{"id": "cut off", "image": "png/for', '{"id": "quoted" "answer": 4}')),
    (
        "demo_multi_image_messages",
        ('{"messages": [{"role": "user", "content": "<image>"}', "not json at all"),
    ),
    ("demo_ui_captions", ('{"id": "ui-x", "image": screens/a.png}',)),
)


def plant(samples: Samples, rng: random.Random) -> Account:
    """Plants every kind of defect in place and says what stands where.

    Args:
        samples: the clean samples by source; changed in place.
        rng: decides which samples are taken.

    Returns:
        Each planted defect with its sample; ids and locators are filled in once a sample is written.
    """
    planter = _Planter(samples, rng)
    planter.yes_region()
    planter.images()
    planter.turns()
    planter.licences()
    planter.copies()
    planter.contaminated()
    planter.bad_lines()
    return planter.account


class _Planter:
    def __init__(self, samples: Samples, rng: random.Random) -> None:
        self.samples = samples
        self.rng = rng
        self.account: Account = []
        self.taken: set[int] = set()  # ids of sample objects that are planted or copied already
        self.groups = 0

    def _note(self, kind: str, source: str, sample: Sample, detail: str = "") -> Planted:
        planted = Planted(kind, source, sample.native_id, detail=detail)
        self.account.append((planted, sample))
        self.taken.add(id(sample))
        return planted

    def _free(self, source: str, need: Callable[[Sample], bool]) -> Sample:
        """An untouched sample; one picture must not stand in two planted samples."""
        while True:
            sample = self.rng.choice(self.samples[source])
            if id(sample) in self.taken or not need(sample):
                continue
            self.taken.add(id(sample))
            if "image_id" in sample.facts:
                self.taken |= {
                    id(s) for s in self.samples[source] if s.facts.get("image_id") == sample.facts["image_id"]
                }
            return sample

    def yes_region(self) -> None:
        source = "demo_scenes_llava"
        region = self.samples[source][-YES_REGION:]
        self.taken |= {id(s) for s in region}
        yes = sum(s.turns[-1][1].startswith("Yes") for s in region)
        detail = (
            f"{yes} of {len(region)} answers are yes, from {region[0].native_id} to {region[-1].native_id}"
        )
        self._note("yes_bias", source, region[0], detail)

    def images(self) -> None:
        for kind, places in _IMAGES.items():
            for source, count in places:
                for _ in range(count):
                    sample = self._free(source, _has_picture)
                    self._spoil(kind, sample)
                    self._note(kind, source, sample)

    def _spoil(self, kind: str, sample: Sample) -> None:
        k = self.rng.randrange(len(sample.pictures))
        name, data = sample.pictures[k].name, sample.pictures[k].data or b""
        new: bytes | None
        if kind == "corrupt_image":
            new = damage.corrupt(data, self.rng)
        elif kind == "truncated_image":
            new = damage.truncate(data)
        elif kind == "oversized_image":
            name, new = str(PurePosixPath(name).with_suffix(".png")), damage.oversized()
        elif kind == "zero_byte_image":
            new = b""
        elif kind == "lfs_pointer":
            new = damage.lfs_pointer(data)
        elif kind == "wrong_extension":
            new = damage.other_format(data)
        elif kind == "animated_gif":
            name, new = str(PurePosixPath(name).with_suffix(".gif")), damage.gif(decode(data))
        elif kind == "path_outside_source":
            name, new = f"../../outside/{PurePosixPath(name).name}", None
        else:
            name, new = str(PurePosixPath(name).with_stem("lost_" + PurePosixPath(name).stem)), None
        sample.pictures[k] = Picture(name, new)

    def turns(self) -> None:
        for kind, places in _TURNS.items():
            for source, count in places:
                for _ in range(count):
                    in_alpaca = source == "demo_text_alpaca"
                    sample = self._free(source, _any if in_alpaca else _has_picture)
                    _CHANGES[kind](sample)
                    self._note(kind, source, sample)

    def licences(self) -> None:
        for source, given in _UNLICENSED:
            for licence in given:
                sample = self._free(source, _any)
                sample.licence = licence
                kind = "noncommercial" if licence and "-NC-" in licence else "unlicensed"
                self._note(kind, source, sample, licence or "no licence stated")

    def copies(self) -> None:
        for origin, target, exact, near in _COPIES:
            for k in range(exact + near):
                kind = "exact_duplicate" if k < exact else "near_duplicate"
                text = origin == "demo_text_alpaca"
                first = self._free(origin, _any if text else _has_picture)
                self.groups += 1
                pictures = list(first.pictures)
                if kind == "near_duplicate":
                    pictures = [Picture(p.name, damage.near_copy(p.data or b"", k % 4)) for p in pictures]
                copy = self._insert(target, first, pictures)
                planted = self._note(kind, target, copy, f"copy of {origin} {first.native_id}")
                planted.group = f"g{self.groups:03d}"
                planted.twins = [(origin, first.native_id)]

    def contaminated(self) -> None:
        for target, count in _CONTAMINATED:
            for k in range(count):
                item = self._free("demo_eval", _any)
                pictures, dress = list(item.pictures), "{}"
                if k % 2:  # as leaks look: the picture encoded again, a sentence after the question
                    pictures = [Picture(p.name, damage.near_copy(p.data or b"", k % 4)) for p in pictures]
                    dress = "{} Take your time."
                copy = self._insert(target, item, pictures)
                question, answer = item.turns[0][1], item.turns[1][1].rstrip(".")
                # Not the benchmark's own answer: else the item would be an exact duplicate before all else.
                copy.turns = [("user", dress.format(question)), ("assistant", f"The answer is: {answer}.")]
                planted = self._note(
                    "contaminated", target, copy, f"question and picture of {item.native_id}"
                )
                planted.twins = [("demo_eval", item.native_id)]

    def _insert(self, target: str, first: Sample, pictures: list[Picture]) -> Sample:
        """A copy among the target's samples, with an id and picture names as that source gives them."""
        samples, number = self.samples[target], 90_000 + len(self.account)
        ids = {
            "demo_scenes_llava": f"scene_{number}",
            "demo_charts_parquet": f"chart-{number}",
            "demo_documents_wds": f"{number:09d}",
            "demo_multi_image_messages": f"pair-{number}",
            "demo_text_alpaca": f"ex{number}",
            "demo_formulas_jsonl": f"f{number}",
            "demo_scenes_coco": str(number),
        }
        copy = first.copy(ids[target])
        folder = {
            "demo_scenes_llava": "images/90/",
            "demo_multi_image_messages": "images/",
            "demo_formulas_jsonl": "png/",
        }
        copy.pictures = [
            Picture(f"{folder.get(target, '')}{number}_{k}{_suffix(p)}", p.data)
            for k, p in enumerate(pictures)
        ]
        copy.licence = copy.licence or ("CC0-1.0" if target == "demo_formulas_jsonl" else None)
        end = len(samples) - (YES_REGION if target == "demo_scenes_llava" else 0)
        samples.insert(self.rng.randrange(end), copy)
        return copy

    def bad_lines(self) -> None:
        for source, lines in _BAD_LINES:
            for line in lines:
                sample = Sample("", [], dialogue([QA("", "")], 0), raw_line=line)
                self.samples[source].insert(self.rng.randrange(len(self.samples[source])), sample)
                planted = self._note("bad_json_line", source, sample)
                planted.native_id = None


def _any(sample: Sample) -> bool:
    return True


def _has_picture(sample: Sample) -> bool:
    return bool(sample.pictures)


def _suffix(picture: Picture) -> str:
    """The suffix that fits the bytes."""
    return ".png" if (picture.data or b"").startswith(b"\x89PNG") else ".jpg"
