"""Tables as pictures, with look-ups, sums and comparisons over their cells."""

from __future__ import annotations

import random
from dataclasses import dataclass

from infinity_assets.demo.parts import QA, Pixels, Rgb, canvas, font, pixels_of

_STYLES: tuple[tuple[Rgb, Rgb, Rgb, Rgb], ...] = (  # head, head text, stripe, line
    ((38, 70, 110), (255, 255, 255), (238, 243, 250), (198, 208, 222)),
    ((232, 236, 226), (50, 62, 44), (248, 250, 245), (188, 198, 180)),
    ((96, 44, 92), (255, 246, 252), (250, 242, 249), (220, 200, 218)),
    ((255, 255, 255), (24, 24, 24), (255, 255, 255), (120, 120, 120)),
)
_KINDS: tuple[tuple[str, str, tuple[str, ...], tuple[tuple[str, int, int], ...]], ...] = (
    ("League standings", "Team", ("Harbour FC", "Redstone", "Old Mill", "Vale Rovers", "Castle Utd",
        "Pine Athletic", "Northgate", "Weavers"), (("Played", 18, 34), ("Won", 3, 17), ("Drawn", 0, 9),
            ("Goals", 14, 71))),
    ("Stock list", "Item", ("Hinge", "Bracket", "Bolt M8", "Washer", "Pulley", "Spring", "Gasket", "Valve"),
    (("Stock", 12, 980), ("Ordered", 0, 300), ("Price", 2, 95))),
    ("Train times", "Line", ("Blue", "Crimson", "Ferry Loop", "Airport", "Valley", "Coastal", "Ring",
    "Harbour"), (("Stops", 4, 38), ("Minutes", 11, 140), ("Daily", 6, 96))),
    ("School grades", "Pupil", ("Amira", "Bogdan", "Chen", "Daphne", "Emeka", "Freya", "Goran", "Hana"),
    (("Maths", 41, 100), ("Music", 41, 100), ("Biology", 41, 100), ("Latin", 41, 100))),
    ("Nutrition per 100 g", "Food", ("Lentils", "Almonds", "Oats", "Yoghurt", "Tofu", "Salmon", "Barley",
    "Peas"), (("Energy", 48, 610), ("Protein", 1, 32), ("Fibre", 1, 18))),
    ("Reservoir levels", "Reservoir", ("Ashford", "Brenig", "Clatter", "Derwen", "Elan", "Foss", "Gwyn",
    "Haweswater"), (("Depth m", 8, 92), ("Full %", 22, 99), ("Inflow", 3, 77))),
    ("Warehouse shifts", "Worker", ("Ines", "Jonas", "Kamala", "Leopold", "Mirela", "Nuno", "Oksana",
    "Piet"), (("Hours", 12, 48), ("Parcels", 140, 990), ("Errors", 0, 21))),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Table:
    """What a table shows; ``cells`` is rows x columns, without the column of names."""

    title: str
    corner: str
    columns: tuple[str, ...]
    names: tuple[str, ...]
    cells: tuple[tuple[int, ...], ...]
    style: int


def plan_table(rng: random.Random) -> Table:
    """Four to seven rows; the values of a column are distinct."""
    title, corner, names, columns = rng.choice(_KINDS)
    chosen = tuple(rng.sample(names, rng.randint(4, 7)))
    series = [rng.sample(range(low, high + 1), len(chosen)) for _, low, high in columns]
    numbered = f"{title} {rng.choice(('week', 'region', 'sheet', 'group'))} {rng.randint(2, 52)}"
    return Table(numbered, corner, tuple(c for c, _, _ in columns), chosen,
        tuple(zip(*series, strict=True)), rng.randrange(len(_STYLES)))  # fmt: skip


def pixels_of_table(table: Table) -> Pixels:
    """Height x width x 3, RGB; the size follows from rows and columns."""
    first, wide, high = 130, 84, 30
    width, height = first + wide * len(table.columns) + 32, high * (len(table.names) + 1) + 66
    head, head_text, stripe, line = _STYLES[table.style]
    image, pen = canvas(width, height, (255, 255, 255))
    pen.text((16, 14), table.title, fill=(30, 34, 44), font=font(17), anchor="la")
    top, right = 46, width - 16
    pen.rectangle((16, top, right, top + high), fill=head)
    for r in range(len(table.names)):
        if r % 2:
            pen.rectangle((16, top + high * (r + 1), right, top + high * (r + 2)), fill=stripe)
    for r in range(len(table.names) + 2):
        pen.line((16, top + high * r, right, top + high * r), fill=line)
    pen.text((26, top + high // 2), table.corner, fill=head_text, font=font(14), anchor="lm")
    for c, column in enumerate(table.columns):
        x = 16 + first + wide * (c + 1) - 12
        pen.text((x, top + high // 2), column, fill=head_text, font=font(14), anchor="rm")
        for r, row in enumerate(table.cells):
            pen.text(
                (x, top + high * (r + 1) + high // 2),
                str(row[c]),
                fill=(40, 44, 54),
                font=font(14),
                anchor="rm",
            )
    for r, name in enumerate(table.names):
        pen.text((26, top + high * (r + 1) + high // 2), name, fill=(40, 44, 54), font=font(14), anchor="lm")
    return pixels_of(image)


def ask(rng: random.Random, table: Table, count: int) -> list[QA]:
    """``count`` questions with short answers, of different kinds or columns."""
    c = rng.randrange(len(table.columns))
    column, values = table.columns[c], [row[c] for row in table.cells]
    ranked = sorted(zip(values, table.names, strict=True), reverse=True)
    r = rng.randrange(len(table.names))
    name, (other_value, other) = table.names[r], rng.choice(ranked)
    d = rng.randrange(len(table.columns))
    limit = (ranked[1][0] + ranked[2][0]) // 2
    known = [
        QA(f"What is the {table.columns[d]} value of {name}?", str(table.cells[r][d])),
        QA(f"Which {table.corner.lower()} has the highest value under {column}?", ranked[0][1]),
        QA(f"Which {table.corner.lower()} has the lowest value under {column}?", ranked[-1][1]),
        QA(f"What is the sum of the {column} column?", str(sum(values))),
        QA(f"How many rows does the table \"{table.title}\" have below its header?", str(len(table.names))),
        QA(f"In \"{table.title}\", what stands right of {table.corner} in the header?", table.columns[0]),
        QA(f"How many entries have {column} above {limit}?", str(sum(v > limit for v in values))),
        QA(f"What is the range (highest minus lowest) of {column}?", str(ranked[0][0] - ranked[-1][0])),
        QA(f"表中{name}的“{table.columns[d]}”是多少？", str(table.cells[r][d])),
        QA(f"哪一行的“{column}”最大？", ranked[0][1]),
    ]  # fmt: skip
    if other != name:
        mine = table.cells[r][c]
        known.append(
            QA(
                f"Is the {column} value of {name} higher than that of {other}?",
                "yes" if mine > other_value else "no",
            )
        )
    return rng.sample(known, count)
