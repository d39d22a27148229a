"""What the demo says of a picture must be true of it: people judge the platform by these samples."""

from __future__ import annotations

import random
import re

import numpy as np

from infinity_assets.demo import charts, documents, formulas, scene_talk, scenes, screens, tables, text
from infinity_assets.demo.scenes import Scene
from infinity_assets.demo.sprites import COLOURS, THINGS, sprite


def some_scenes(n: int = 40) -> list[Scene]:
    rng = random.Random(11)
    return [scenes.plan_scene(rng, 384, 288) for _ in range(n)]


def test_boxes_lie_in_the_picture_and_hardly_overlap() -> None:
    """A box outside of its picture is a lie to whoever trains grounding on it."""
    for scene in some_scenes():
        assert scene.objects
        for item in scene.objects:
            x0, y0, x1, y1 = item.box
            assert 0 <= x0 < x1 <= scene.width and 0 <= y0 < y1 <= scene.height
            assert item.colour in THINGS[item.thing].colours


def test_a_box_holds_the_object() -> None:
    """Taking an object away changes its box, and nothing far from it."""
    for scene in some_scenes(12):
        before = scenes.pixels_of_scene(scene).astype(int)
        after = scenes.pixels_of_scene(scenes.removed(scene, 0)).astype(int)
        changed = np.abs(before - after).max(axis=2) > 24
        x0, y0, x1, y1 = scene.objects[0].box
        margin = 40  # the shadow
        outside = changed.copy()
        outside[max(0, y0 - margin) : y1 + margin, max(0, x0 - margin) : x1 + margin] = False
        assert changed[y0:y1, x0:x1].mean() > 0.1
        assert not outside.any()


def test_every_sprite_shows_its_colour() -> None:
    """A blue ball must be blue to whoever looks."""
    for thing in THINGS.values():
        for colour in thing.colours:
            image = sprite(thing.name, colour).astype(int)
            opaque = image[image[..., 3] > 200][:, :3]
            near = np.abs(opaque - np.array(COLOURS[colour][1])).sum(axis=1) < 110
            assert near.mean() > 0.1, (thing.name, colour)


def test_counts_and_presence_are_true() -> None:
    """Counting and yes-or-no answers are checked by eye first of all."""
    rng = random.Random(5)
    for scene in some_scenes():
        shown = {f"{o.colour} {o.thing}" for o in scene.objects}
        for wanted in (True, False):
            pair = scene_talk.yes_no(rng, scene, wanted)
            assert pair.answer.startswith("Yes" if wanted else "No")
            named = re.search(r"there is (?:an?|no) (\w+ \w+) in", pair.answer)
            assert named is not None and (named.group(1) in shown) == wanted
        for pair in scene_talk.ask(rng, scene, 11):
            if pair.question.startswith("Which of the things") and "umbrella" in pair.answer.split(",")[0]:
                assert not {"house", "car", "bus"} & {o.thing for o in scene.objects}


def test_chart_answers_follow_from_the_values() -> None:
    """A wrong maximum would teach the wrong thing."""
    rng = random.Random(5)
    for _ in range(60):
        chart = charts.plan_chart(rng)
        by_value = dict(zip(chart.values, chart.labels, strict=True))
        assert len(by_value) == len(chart.values)
        assert chart.kind != "pie" or sum(chart.values) == 100
        answers = {q.question: q.answer for q in charts.ask(rng, chart, 8)}
        for question, answer in answers.items():
            if "highest?" in question or "largest value" in question:
                assert answer.startswith(by_value[max(chart.values)])
            if question.endswith("smallest entry.") or "lowest?" in question:
                assert answer.startswith(by_value[min(chart.values)])


def test_table_answers_follow_from_the_cells() -> None:
    """A wrong sum would teach the wrong thing."""
    rng = random.Random(5)
    for _ in range(60):
        table = tables.plan_table(rng)
        for pair in tables.ask(rng, table, 10):
            if found := re.fullmatch(r"What is the sum of the (.+) column\?", pair.question):
                column = table.columns.index(found.group(1))
                assert int(pair.answer) == sum(row[column] for row in table.cells)


def test_solutions_solve_their_equations() -> None:
    """Mathematics that does not add up is worse than none."""
    rng = random.Random(5)
    solved = 0
    for _ in range(300):
        formula = formulas.plan_formula(rng)
        answer = formulas.ask(rng, formula, 1)[0].answer
        if found := re.fullmatch(r"(\d+)([xyztm]) ([+-]) (\d+) = (-?\d+)", formula.latex):
            a, _, sign, b, c = found.groups()
            x = int(answer.rstrip(".").rsplit(" ", 1)[1])
            assert int(a) * x + int(sign + b) == int(c)
            solved += 1
        if found := re.search(r"x = (-?\d+) or x = (-?\d+)", answer):
            b, c = (re.search(p, formula.latex) for p in (r" ([+-]) (\d*)x", r" ([+-]) (\d+) = 0"))
            assert c is not None
            for root in map(int, found.groups()):
                middle = int(b.group(1) + (b.group(2) or "1")) * root if b else 0
                assert root * root + middle + int(c.group(1) + c.group(2)) == 0
            solved += 1
    assert solved > 40


def test_exercises_differ() -> None:
    """Near-identical texts would be dropped as duplicates that nobody planted."""
    made = text.exercises(random.Random(3), 120)
    triples = [text.shingles(f"{e.instruction} {e.material} {e.answer}") for e in made]
    for i, a in enumerate(triples):
        for b in triples[:i]:
            assert len(a & b) < 0.6 * len(a | b)
    assert {e.language for e in made} == {"en", "zh"}


def test_documents_and_screens_draw_without_system_fonts() -> None:
    """A bare container has no fonts."""
    rng = random.Random(3)
    for _ in range(30):
        page, screen = documents.draw_page(rng), screens.draw_screen(rng)
        assert page.pixels.dtype == np.uint8 and page.pixels.std() > 5 and len(page.known) >= 4
        assert screen.pixels.std() > 5 and screen.alt and re.search(r"[\u4e00-\u9fff]", screen.alt_zh)
