"""The clean samples of every demo source, before defects are planted and before they have a native format."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

import cv2
import numpy as np

from infinity_assets.demo import charts, documents, formulas, scene_talk, scenes, screens, tables
from infinity_assets.demo.parts import QA, Picture, Pixels, Sample, dialogue, jpeg, png
from infinity_assets.demo.sprites import THINGS
from infinity_assets.demo.text import exercises

PROMPT = "Describe the image."  #: before a caption; the captions reader's default
CLASS_QUESTION = "Which object does the picture show?"  #: asked about every file of a class folder
_LICENCES = ("CC-BY-4.0", "CC-BY-4.0", "CC0-1.0", "CC-BY-SA-4.0")
_SIZES = ((384, 288), (384, 288), (384, 288), (448, 336), (320, 240), (288, 384))
_BIG = (1600, 1200)
YES_REGION = 80  #: the last samples of ``demo_scenes_llava``: yes-or-no questions, nine of ten answered yes


def scenes_llava(rng: random.Random) -> list[Sample]:
    """Conversations about scenes; every 80th picture is large; every fifth conversation is Chinese."""
    samples = []
    for i in range(310 + YES_REGION):
        size = _BIG if i % 80 == 31 else rng.choice(_SIZES)
        scene = scenes.plan_scene(rng, *size)
        if i >= 310:
            pairs = [scene_talk.yes_no(rng, scene, i % 10 != 0)]
        else:
            pairs = scene_talk.ask(rng, scene, rng.randint(1, 3), chinese=i % 5 == 0)
        picture = Picture(f"images/{i // 100:02d}/scene_{i:05d}.jpg", jpeg(scenes.pixels_of_scene(scene)))
        samples.append(Sample(f"scene_{i:05d}", [picture], dialogue(pairs)))
    return samples


def scenes_coco(rng: random.Random) -> list[Sample]:
    """Scenes with boxes, a caption and a licence for each picture."""
    samples = []
    for i in range(1, 121):
        scene = scenes.plan_scene(rng, *rng.choice(_SIZES), least=2, most=8)
        caption = scene_talk.caption(rng, scene)
        facts = {
            "caption": caption,
            "boxes": [(o.thing, o.box) for o in scene.objects],
            "size": (scene.width, scene.height),
        }
        picture = Picture(f"{i:012d}.jpg", jpeg(scenes.pixels_of_scene(scene)))
        turns = dialogue([QA(PROMPT, caption)])
        samples.append(Sample(str(i), [picture], turns, rng.choice(_LICENCES), facts))
    return samples


def charts_parquet(rng: random.Random) -> list[Sample]:
    """Charts with one to four questions each."""
    samples = []
    for i in range(230):
        chart = charts.plan_chart(rng)
        picture = Picture(f"chart_{i:04d}.png", png(charts.pixels_of_chart(chart)))
        samples.append(
            Sample(f"chart-{i:04d}", [picture], dialogue(charts.ask(rng, chart, rng.randint(1, 4))))
        )
    return samples


def tables_vqa(rng: random.Random) -> list[Sample]:
    """Two questions about each of ninety tables, as samples that share a picture."""
    samples = []
    for i in range(1, 91):
        table = tables.plan_table(rng)
        picture = Picture(f"{i:012d}.png", png(tables.pixels_of_table(table)))
        for k, pair in enumerate(tables.ask(rng, table, 2)):
            samples.append(Sample(str(i * 10 + k), [picture], dialogue([pair]), facts={"image_id": i}))
    return samples


def documents_wds(rng: random.Random) -> list[Sample]:
    """Pages with upstream's measures; every sixth row is text only."""
    samples = []
    texts = iter(exercises(rng, 40))
    for i in range(216):
        key = f"{i:09d}"
        loss = round(min(6.0, rng.lognormvariate(0.1, 0.45)), 4)
        if i % 6 == 5:
            one = next(texts)
            pairs = [
                QA(f"{one.instruction}\n{one.material}" if one.material else one.instruction, one.answer)
            ]
            samples.append(Sample(key, [], dialogue(pairs, 0), facts={"loss": loss}))
            continue
        page = documents.draw_page(rng)
        labels = sorted(
            {page.kind, "document", "text", *rng.sample(("paper", "font", "page", "print", "form"), 2)}
        )
        facts = {
            "loss": loss,
            "tags": labels,
            "logits": [round(rng.uniform(1.4, 3.1), 3) for _ in labels],
            "phash": perceptual_hash(page.pixels),
        }
        picture = Picture(f"pages/{key}.jpg", jpeg(page.pixels, 90))
        samples.append(
            Sample(key, [picture], dialogue(documents.ask(rng, page, rng.randint(1, 4))), facts=facts)
        )
    return samples


def formulas_jsonl(rng: random.Random) -> list[Sample]:
    """One question about each formula; every row has a licence of its own."""
    samples: list[Sample] = []
    seen: set[str] = set()
    while len(samples) < 180:
        formula, i = formulas.plan_formula(rng), len(samples)
        if formula.latex in seen:
            continue
        seen.add(formula.latex)
        picture = Picture(f"png/formula_{i:04d}.png", png(formulas.pixels_of_formula(formula)))
        pair = rng.choice(formulas.ask(rng, formula, 3))
        samples.append(Sample(f"f{i:04d}", [picture], dialogue([pair]), rng.choice(_LICENCES)))
    return samples


def ui_captions(rng: random.Random) -> list[Sample]:
    """Alt texts of screens, every third one Chinese."""
    samples = []
    for i in range(150):
        screen = screens.draw_screen(rng)
        picture = Picture(f"screens/{screen.kind}_{i:04d}.png", png(screen.pixels))
        pair = QA(PROMPT, screen.alt_zh if i % 3 == 0 else screen.alt)
        samples.append(Sample(f"ui-{i:04d}", [picture], dialogue([pair])))
    return samples


def text_alpaca(rng: random.Random) -> list[Sample]:
    """Text-only exercises in two languages."""
    samples = []
    for i, one in enumerate(exercises(rng, 240)):
        question = f"{one.instruction}\n{one.material}" if one.material else one.instruction
        facts = {"instruction": one.instruction, "input": one.material}
        samples.append(Sample(f"ex{i:04d}", [], dialogue([QA(question, one.answer)], 0), facts=facts))
    return samples


def multi_image_messages(rng: random.Random) -> list[Sample]:
    """A scene before and after one change, some with a third picture."""
    samples: list[Sample] = []
    while len(samples) < 120:
        made = _change(rng)
        if made is None:
            continue
        stages, pairs = made
        i = len(samples)
        pictures = [
            Picture(f"images/{i:04d}_{k}.jpg", jpeg(scenes.pixels_of_scene(s))) for k, s in enumerate(stages)
        ]
        samples.append(Sample(f"pair-{i:04d}", pictures, dialogue(pairs, len(stages))))
    return samples


def things_folder(rng: random.Random) -> list[Sample]:
    """One object on a plain setting, filed under its class."""
    samples: list[Sample] = []
    names = sorted(THINGS)
    while len(samples) < 84:
        scene = scenes.plan_scene(rng, 320, 240, 1, 1)
        wanted = names[len(samples) % len(names)]
        if not scene.objects or scene.objects[0].thing != wanted:
            continue
        name = f"{wanted}/{wanted}_{len(samples) // len(names):02d}.jpg"
        picture = Picture(name, jpeg(scenes.pixels_of_scene(scene)))
        samples.append(Sample(name, [picture], dialogue([QA(CLASS_QUESTION, wanted)])))
    return samples


def evaluation(rng: random.Random) -> list[Sample]:
    """Benchmark questions about scenes, charts and tables with short answers."""
    samples = []
    for i in range(66):
        ability = ("scene", "chart", "table")[i % 3]
        if ability == "scene":
            scene = scenes.plan_scene(rng, 384, 288, 3, 6)
            data, pair = jpeg(scenes.pixels_of_scene(scene), 94), scene_talk.ask(rng, scene, 1)[0]
        elif ability == "chart":
            chart = charts.plan_chart(rng)
            data, pair = png(charts.pixels_of_chart(chart)), charts.ask(rng, chart, 1)[0]
        else:
            table = tables.plan_table(rng)
            data, pair = png(tables.pixels_of_table(table)), tables.ask(rng, table, 1)[0]
        suffix = "jpg" if ability == "scene" else "png"
        picture = Picture(f"images/{ability}_{i:03d}.{suffix}", data)
        samples.append(Sample(f"eval-{i:03d}", [picture], dialogue([pair]), facts={"ability": ability}))
    return samples


def perceptual_hash(pixels: Pixels) -> int:
    """Unsigned 64 bits: which of the 8 x 8 lowest frequencies exceed their median, most significant first."""
    grey = cv2.resize(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), (32, 32), interpolation=cv2.INTER_AREA)
    low = cv2.dct(grey.astype(np.float32))[:8, :8].flatten()
    return int("".join("1" if v else "0" for v in low > np.median(low)), 2)


def _change(rng: random.Random) -> tuple[list[scenes.Scene], list[QA]] | None:
    first = scenes.plan_scene(rng, 384, 288, 2, 6)
    single = scene_talk.unique_things(first)
    if len(first.objects) < 2 or not single:
        return None
    item = rng.choice(single)
    index = first.objects.index(item)
    name = f"{item.colour} {item.thing}"
    way = rng.choice(("removed", "recoloured", "added"))
    if way == "removed":
        second = scenes.removed(first, index)
        told, zh = (
            f"The {name} has disappeared from the second picture.",
            f"第二张图中少了{THINGS[item.thing].zh}。",
        )
    elif way == "recoloured":
        colour = rng.choice([c for c in THINGS[item.thing].colours if c != item.colour])
        second = scenes.recoloured(first, index, colour)
        told, zh = (
            f"The {item.thing} was {item.colour} and is {colour} now.",
            f"{THINGS[item.thing].zh}的颜色变了。",
        )
    else:
        made = scenes.added(rng, first)
        if made is None:
            return None
        second, new = made
        told, zh = f"A new object appears: a {new.colour} {new.thing}.".replace("a orange",
            "an orange"), f"第二张图中多了{THINGS[new.thing].zh}。"  # fmt: skip
    asked = rng.choice(
        (
            "What has changed between the two pictures?",
            "Compare the pictures and name the difference.",
            "Spot the difference.",
            "两张图片有什么不同？",
        )
    )
    pairs = [QA(asked, zh if asked[0] == "两" else told)]
    if rng.random() < 0.5:
        counts = [len(s.objects) for s in (first, second)]
        pairs.append(
            QA(
                "How many objects does each picture show?",
                f"The first shows {counts[0]}, the second {counts[1]}.",
            )
        )
    stages = [first, second]
    if rng.random() < 0.2:
        stages.append(scenes.plan_scene(rng, 384, 288, 2, 6))
        if stages[2].setting == first.setting:
            return None
        pairs.append(
            QA("Which picture was taken somewhere else?", "The third one; the first two show the same place.")
        )
        pairs[0] = QA("Look at the first two pictures. What has changed?", told)
        pairs = [p for p in pairs if not p.question.startswith("How many")]
    return stages, pairs


BUILDERS: Mapping[str, Callable[[random.Random], list[Sample]]] = {
    "demo_scenes_llava": scenes_llava,
    "demo_scenes_coco": scenes_coco,
    "demo_charts_parquet": charts_parquet,
    "demo_tables_vqa": tables_vqa,
    "demo_documents_wds": documents_wds,
    "demo_formulas_jsonl": formulas_jsonl,
    "demo_ui_captions": ui_captions,
    "demo_text_alpaca": text_alpaca,
    "demo_multi_image_messages": multi_image_messages,
    "demo_things_folder": things_folder,
    "demo_eval": evaluation,
}
