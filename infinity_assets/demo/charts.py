"""Bar, line and pie charts of invented figures, with questions that the figures answer."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import cv2
import numpy as np

from infinity_assets.demo.parts import QA, Pixels, Rgb, canvas, font, join_words, pen_on, pixels_of, words

PALETTES: tuple[tuple[Rgb, ...], ...] = (
    ((46, 104, 182), (226, 124, 52), (74, 158, 92), (198, 68, 76), (132, 96, 178), (150, 112, 84),
        (218, 168, 44)),
    ((16, 92, 106), (42, 157, 143), (233, 196, 106), (244, 162, 97), (231, 111, 81), (38, 70, 83),
    (138, 177, 125)),
    ((63, 55, 201), (76, 201, 240), (247, 37, 133), (114, 9, 183), (72, 149, 239), (181, 23, 158),
    (255, 158, 0)),
)  # fmt: skip

_SUBJECTS = (
    ("Apples harvested", "tonnes", ("Alma", "Birk", "Cora", "Dane", "Elm", "Fenn", "Gala")),
    (
        "Visitors by museum",
        "thousand",
        ("Ceramics", "Railway", "Harbour", "Textile", "Aviation", "Clock", "Toy"),
    ),
    ("Bicycle rentals", "rides", ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")),
    ("Rainfall", "mm", ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul")),
    ("Books borrowed", "loans", ("Poetry", "History", "Crime", "Travel", "Science", "Comics", "Cooking")),
    ("Energy produced", "GWh", ("Wind", "Solar", "Hydro", "Gas", "Biomass", "Tidal", "Nuclear")),
    ("Tickets sold", "tickets", ("Drama", "Opera", "Ballet", "Comedy", "Concert", "Circus", "Puppets")),
    ("Fish caught", "kg", ("Cod", "Plaice", "Herring", "Sole", "Hake", "Mullet", "Bass")),
    ("Support requests", "cases", ("Login", "Billing", "Export", "Search", "Upload", "Mobile", "Backup")),
    ("Trees planted", "trees", ("Oak", "Birch", "Maple", "Pine", "Ash", "Cedar", "Linden")),
    ("Coffee exports", "bags", ("Lima", "Sidama", "Huila", "Kona", "Java", "Tarrazu", "Nyeri")),
    ("Patients treated", "people", ("North", "South", "East", "West", "Centre", "Coast", "Hills")),
)
_PLACES = words(
    "Norvale, Port Ellis, Kestrel Bay, Lindow, Marrow Hill, Osterby, Quenton, Tarn Valley, Westmere"
)


@dataclass(frozen=True, slots=True)
class Chart:
    """What a chart shows. Values of a pie are percentages that sum to 100."""

    kind: str  #: bar, line or pie
    title: str
    unit: str
    labels: tuple[str, ...]
    values: tuple[int, ...]
    palette: int


def plan_chart(rng: random.Random) -> Chart:
    """Four to seven categories with distinct values."""
    kind = rng.choice(("bar", "bar", "line", "pie"))
    subject, unit, names = rng.choice(_SUBJECTS)
    n = rng.randint(4, 6 if kind == "pie" else 7)
    first = rng.randrange(len(names) - n + 1)
    labels = names[first : first + n]
    title = f"{subject} in {rng.choice(_PLACES)}, {rng.randint(1998, 2025)}"
    if kind == "pie":
        while True:
            cuts = sorted(rng.sample(range(4, 97), n - 1))
            values = tuple(b - a for a, b in zip([0, *cuts], [*cuts, 100], strict=True))
            if min(values) >= 5 and len(set(values)) == n:
                return Chart(kind, title, "%", labels, values, rng.randrange(len(PALETTES)))
    scale = rng.choice((1, 5, 10, 20))
    values = tuple(v * scale for v in rng.sample(range(6, 100), n))
    return Chart(kind, title, unit, labels, values, rng.randrange(len(PALETTES)))


def pixels_of_chart(chart: Chart, width: int = 480, height: int = 340) -> Pixels:
    """Height x width x 3, RGB. Every value is written next to its mark."""
    image, pen = canvas(width, height, (255, 255, 255) if chart.palette else (250, 250, 246))
    pen.text((width // 2, 12), chart.title, fill=(34, 38, 48), font=font(17), anchor="ma")
    pixels = pixels_of(image)
    if chart.kind == "pie":
        return _pie(chart, pixels)
    return _axes(chart, pixels)


def _axes(chart: Chart, pixels: Pixels) -> Pixels:
    height, width = pixels.shape[:2]
    x0, x1, y0, y1 = 52, width - 18, 62, height - 38
    paper = tuple(int(v) for v in pixels[0, 0])
    step = _nice(max(chart.values) / 4)
    top = step * math.ceil(max(chart.values) / step)
    ticks = list(range(0, top + 1, step))
    for tick in ticks:
        y = round(y1 - (y1 - y0) * tick / top)
        cv2.line(pixels, (x0, y), (x1, y), (226, 228, 232), 1)
    colours = PALETTES[chart.palette]
    slot = (x1 - x0) / len(chart.values)
    points = []
    for i, value in enumerate(chart.values):
        x, y = round(x0 + slot * (i + 0.5)), round(y1 - (y1 - y0) * value / top)
        points.append((x, y))
        if chart.kind == "bar":
            cv2.rectangle(
                pixels, (x - round(slot * 0.32), y), (x + round(slot * 0.32), y1), colours[i % 7], -1
            )
    if chart.kind == "line":
        area = np.array([[points[0][0], y1], *points, [points[-1][0], y1]], np.int32)
        wash = pixels.copy()
        cv2.fillPoly(wash, [area], colours[0])
        pixels = cv2.addWeighted(wash, 0.15, pixels, 0.85, 0)
        cv2.polylines(pixels, [np.array(points, np.int32)], False, colours[0], 2, cv2.LINE_AA)
        for point in points:
            cv2.circle(pixels, point, 4, colours[0], -1, cv2.LINE_AA)
    cv2.line(pixels, (x0, y1), (x1, y1), (90, 94, 104), 1)
    image, pen = pen_on(pixels)
    for tick in ticks:
        y = y1 - (y1 - y0) * tick / top
        pen.text((x0 - 6, y), f"{tick:,}", fill=(104, 108, 118), font=font(11), anchor="rm")
    pen.text((x0 - 40, 40), f"in {chart.unit}", fill=(104, 108, 118), font=font(12), anchor="la")
    for (x, y), label, value in zip(points, chart.labels, chart.values, strict=True):
        pen.text(
            (x, y - 6),
            f"{value:,}",
            fill=(44, 48, 58),
            font=font(12),
            anchor="mb",
            stroke_width=2,
            stroke_fill=paper,
        )
        pen.text((x, y1 + 8), label, fill=(64, 68, 78), font=font(12), anchor="ma")
    return pixels_of(image)


def _pie(chart: Chart, pixels: Pixels) -> Pixels:
    height, width = pixels.shape[:2]
    cx, cy, r = round(width * 0.36), round(height * 0.55), round(height * 0.36)
    colours = PALETTES[chart.palette]
    angle, labels = -90.0, []
    for i, value in enumerate(chart.values):
        sweep = value * 3.6
        arc = [math.radians(angle + sweep * k / 24) for k in range(25)]
        edge = [[round((cx + r * math.cos(a)) * 16), round((cy + r * math.sin(a)) * 16)] for a in arc]
        cv2.fillPoly(pixels, [np.array([[cx * 16, cy * 16], *edge], np.int32)], colours[i], cv2.LINE_AA, 4)
        middle = math.radians(angle + sweep / 2)
        labels.append((cx + 0.7 * r * math.cos(middle), cy + 0.7 * r * math.sin(middle)))
        angle += sweep
    for start in np.cumsum((0, *chart.values)) * 3.6 - 90:
        a = math.radians(float(start))
        cv2.line(pixels, (cx, cy), (round(cx + r * math.cos(a)), round(cy + r * math.sin(a))),
            (255, 255, 255), 2, cv2.LINE_AA)  # fmt: skip
    image, pen = pen_on(pixels)
    for i, (at, label, value) in enumerate(zip(labels, chart.labels, chart.values, strict=True)):
        pen.text(
            at,
            f"{value}%",
            fill=(255, 255, 255),
            font=font(13),
            anchor="mm",
            stroke_width=1,
            stroke_fill=(60, 60, 70),
        )
        y = 84 + 30 * i
        pen.rectangle((width * 0.68, y, width * 0.68 + 16, y + 16), fill=colours[i])
        pen.text((width * 0.68 + 26, y + 8), label, fill=(44, 48, 58), font=font(14), anchor="lm")
    return pixels_of(image)


def ask(rng: random.Random, chart: Chart, count: int) -> list[QA]:
    """``count`` questions of different kinds about one chart (at most eight)."""
    ranked = sorted(zip(chart.values, chart.labels, strict=True), reverse=True)
    (high, most), (low, least) = ranked[0], ranked[-1]
    (va, a), (vb, b) = rng.sample(ranked, 2)
    unit, total = chart.unit, sum(chart.values)
    limit = (ranked[1][0] + ranked[2][0]) // 2
    above = [n for v, n in ranked if v > limit]

    def amount(v: int) -> str:
        return f"{v}%" if unit == "%" else f"{v:,} {unit}"

    more, less = (a, b) if va > vb else (b, a)
    known = [
        QA(rng.choice((f"What is the value for {a}?", f"How much does the chart show for {a}?",
            f"Read off the figure of {a}.")), f"{a} stands at {amount(va)}."),
        QA(rng.choice(("Which category is the highest?", "What has the largest value in this chart?")),
        f"{most}, with {amount(high)}."),
        QA(rng.choice(("Which category is the lowest?", "Name the smallest entry.")),
        f"{least} is the lowest at {amount(low)}."),
        QA(f"What is the difference between {a} and {b}?", f"{more} is {amount(abs(va - vb))} above {less}."),
        QA(rng.choice(("What kind of chart is this?", "How is the data presented?")),
        f"It is a {chart.kind} chart titled \"{chart.title}\"."),
        QA(f"Which categories lie above {amount(limit)}?", f"{join_words(above)} lie above {amount(limit)}."),
        QA(f"Is {a} larger than {b}? Answer yes or no.", "Yes" if va > vb else "No"),
        QA("Rank all categories from high to low.", ", ".join(f"{n} ({amount(v)})" for v, n in ranked) + "."),
    ]  # fmt: skip
    if unit != "%":
        known.append(QA("What do all categories add up to?", f"Together they make {amount(total)}."))
    if chart.kind == "line":
        steps = list(zip(chart.labels[1:], chart.values[1:], chart.values, strict=False))
        label, now, before = max(steps, key=lambda s: s[1] - s[2])
        if now > before:
            known.append(
                QA(
                    "Where is the steepest rise?",
                    f"At {label}, where the line climbs by {amount(now - before)}.",
                )
            )
    return rng.sample(known, count)


def _nice(raw: float) -> int:
    """A step of 1, 2 or 5 times a power of ten, at least ``raw``."""
    power = 10 ** math.floor(math.log10(max(1.0, raw)))
    return int(next(power * k for k in (1, 2, 5, 10) if power * k >= raw))
