"""Formulas set by a small box layout (rows, fractions, powers, roots), their LaTeX, and their solutions."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from PIL import ImageDraw

from infinity_assets.demo.parts import QA, Pixels, Rgb, canvas, font, pixels_of

_INK = (30, 34, 46)


@dataclass(frozen=True, slots=True)
class Box:
    """A piece of a formula: width, height above and depth below the axis, and how to draw it at x, axis."""

    width: float
    up: float
    down: float
    draw: Callable[[ImageDraw.ImageDraw, float, float], None]


def text(value: str, size: int = 30) -> Box:
    """Plain characters, centred on the axis."""
    wide = font(size).getlength(value) + (2 if value.strip() else 0)
    return Box(
        wide, size * 0.5, size * 0.5,
        lambda pen, x, y: pen.text((x, y), value, fill=_INK, font=font(size), anchor="lm"),
    )  # fmt: skip


def row(*parts: Box) -> Box:
    """Boxes side by side."""

    def draw(pen: ImageDraw.ImageDraw, x: float, y: float) -> None:
        for part in parts:
            part.draw(pen, x, y)
            x += part.width

    return Box(sum(p.width for p in parts), max(p.up for p in parts), max(p.down for p in parts), draw)


def over(top: Box, bottom: Box) -> Box:
    """A fraction."""
    wide = max(top.width, bottom.width) + 10

    def draw(pen: ImageDraw.ImageDraw, x: float, y: float) -> None:
        pen.line((x + 2, y, x + wide - 2, y), fill=_INK, width=2)
        top.draw(pen, x + (wide - top.width) / 2, y - 5 - top.down)
        bottom.draw(pen, x + (wide - bottom.width) / 2, y + 5 + bottom.up)

    return Box(wide, top.up + top.down + 5, bottom.up + bottom.down + 5, draw)


def power(base: Box, exponent: str) -> Box:
    """An exponent."""
    small = text(exponent, 19)

    def draw(pen: ImageDraw.ImageDraw, x: float, y: float) -> None:
        base.draw(pen, x, y)
        small.draw(pen, x + base.width, y - base.up + 1)

    return Box(base.width + small.width, base.up + small.up, base.down, draw)


def root(inner: Box) -> Box:
    """A square root."""

    def draw(pen: ImageDraw.ImageDraw, x: float, y: float) -> None:
        top, low = y - inner.up - 3, y + inner.down
        points = [(x + 2, y + 3), (x + 7, y), (x + 13, low), (x + 20, top), (x + 24 + inner.width, top)]
        pen.line(points, fill=_INK, width=2, joint="curve")
        inner.draw(pen, x + 22, y)

    return Box(inner.width + 26, inner.up + 6, inner.down + 2, draw)


def grid(rows: list[list[str]], bars: bool) -> Box:
    """A matrix in brackets, or a determinant between bars."""
    cells = [[text(c, 26) for c in line] for line in rows]
    wide = max(c.width for line in cells for c in line) + 18
    total, high = wide * len(cells[0]) + 16, 36 * len(cells)

    def draw(pen: ImageDraw.ImageDraw, x: float, y: float) -> None:
        for r, line in enumerate(cells):
            for c, cell in enumerate(line):
                cell.draw(pen, x + 8 + wide * (c + 0.5) - cell.width / 2, y - high / 2 + 36 * (r + 0.5))
        for edge, inward in ((x + 4, 7), (x + total - 4, -7)):
            pen.line((edge, y - high / 2, edge, y + high / 2), fill=_INK, width=2)
            if not bars:
                for end in (y - high / 2, y + high / 2):
                    pen.line((edge, end, edge + inward, end), fill=_INK, width=2)

    return Box(total, high / 2, high / 2, draw)


@dataclass(frozen=True, slots=True)
class Formula:
    """One or more drawn lines, their LaTeX, and the questions they answer."""

    lines: tuple[Box, ...]
    latex: str
    known: tuple[QA, ...]
    paper: Rgb


def pixels_of_formula(formula: Formula) -> Pixels:
    """Height x width x 3, RGB, with a margin around the formula."""
    wide = max(256, round(max(b.width for b in formula.lines)) + 72)
    high = max(128, round(sum(b.up + b.down + 22 for b in formula.lines)) + 50)
    image, pen = canvas(wide, high, formula.paper)
    if formula.paper == (252, 252, 248):  # squared exercise paper
        for v in range(16, max(wide, high), 16):
            pen.line((v, 0, v, high), fill=(222, 230, 240))
            pen.line((0, v, wide, v), fill=(222, 230, 240))
    y = (high - sum(b.up + b.down + 22 for b in formula.lines)) / 2 + 11
    for box in formula.lines:
        box.draw(pen, (wide - box.width) / 2, y + box.up)
        y += box.up + box.down + 22
    return pixels_of(image)


def plan_formula(rng: random.Random) -> Formula:
    """A formula of a random kind with small whole coefficients."""
    lines, latex, known = rng.choice(_MAKERS)(rng)
    paper = rng.choice(((255, 255, 255), (252, 252, 248), (250, 246, 234), (238, 244, 240)))
    transcribe = rng.choice(
        ("Write the formula as LaTeX.", "Transcribe the expression in LaTeX.", "请把图中的公式写成LaTeX。")
    )
    # The short answers repeat from formula to formula; with the formula they do not.
    solution, *short = known
    told = [QA(q.question, f"{q.answer.rstrip('.')}, as one reads from ${latex}$.") for q in short]
    return Formula(tuple(lines), latex, (solution, *told, QA(transcribe, f"${latex}$")), paper)


def ask(rng: random.Random, formula: Formula, count: int) -> list[QA]:
    """``count`` questions at most; solving comes first."""
    first, *rest = formula.known
    return [first, *rng.sample(rest, min(count - 1, len(rest)))]


_Made = tuple[list[Box], str, list[QA]]


def _linear(rng: random.Random) -> _Made:
    a, x, b = rng.randint(2, 19), rng.randint(-15, 24), rng.choice((-1, 1)) * rng.randint(1, 40)
    v, left = rng.choice("xyztm"), f"{a}{{v}} {'+' if b > 0 else '-'} {abs(b)} = "
    shown = left.replace("{v}", v) + str(a * x + b)
    moved = f"Taking {b} from both sides" if b > 0 else f"Adding {-b} to both sides"
    steps = f"{moved} gives {a}{v} = {a * x}; dividing by {a} gives {v} = {x}."
    return [text(shown)], shown, [
        QA(rng.choice((f"Solve for {v}.", f"What is {v}?", f"Find the value of {v} step by step.",
            f"求{v}的值。")), steps),
        QA(f"What is the coefficient of {v}?", str(a)),
    ]  # fmt: skip


def _quadratic(rng: random.Random) -> _Made:
    p, q = sorted(rng.sample([n for n in range(-12, 13) if n], 2))
    b, c = -(p + q), p * q
    middle = "" if b == 0 else f" {'+' if b > 0 else '-'} {'' if abs(b) == 1 else abs(b)}x"
    tail = f" {'+' if c > 0 else '-'} {abs(c)} = 0"
    return [row(power(text("x"), "2"), text(middle + tail))], f"x^2{middle}{tail}", [
        QA(rng.choice(("Solve the equation.", "Find both roots.", "这个方程的根是多少？")),
            f"It factors as (x {_signed(-p)})(x {_signed(-q)}) = 0, so x = {p} or x = {q}."),
        QA("What is the discriminant?", f"D = {b * b} - 4 * {c} = {b * b - 4 * c}" if c > 0 else
            f"D = {b * b} + {-4 * c} = {b * b - 4 * c}"),
        QA("What is the sum of the roots?", str(p + q)),
    ]  # fmt: skip


def _fractions(rng: random.Random) -> _Made:
    a, c = Fraction(rng.randint(1, 11), rng.randint(2, 12)), Fraction(rng.randint(1, 11), rng.randint(2, 12))
    if a.denominator == 1 or c.denominator == 1:
        return _fractions(rng)
    sign = rng.choice("+-")
    total = a + c if sign == "+" else a - c
    boxes = [over(text(str(f.numerator), 27), text(str(f.denominator), 27)) for f in (a, c)]
    latex = (
        f"\\frac{{{a.numerator}}}{{{a.denominator}}} {sign} \\frac{{{c.numerator}}}{{{c.denominator}}} = ?"
    )
    common = math.lcm(a.denominator, c.denominator)
    return [row(boxes[0], text(f" {sign} "), boxes[1], text(" = ?"))], latex, [
        QA(rng.choice(("Compute the result.", "What is this as a single fraction?", "计算结果是多少？")),
            f"Over the common denominator {common}: {a * common} {sign} {c * common} = {total * common}, "
            f"so the result is {total}."),
        QA("What is the lowest common denominator?", str(common)),
    ]  # fmt: skip


def _radical(rng: random.Random) -> _Made:
    n, k = rng.randint(3, 31), rng.randint(2, 9)
    plus = rng.randint(1, min(60, n * n - 1))
    shown = f"{n * n - plus} + {plus}"
    return [row(text(f"{k} "), root(text(shown)))], f"{k} \\sqrt{{{shown}}}", [
        QA(rng.choice(("Evaluate the expression.", "What number is this?", "求这个式子的值。")),
            f"Under the root stands {n * n}, whose root is {n}; times {k} this makes {k * n}."),
        QA("What is the number under the root, added up?", str(n * n)),
    ]  # fmt: skip


def _integral(rng: random.Random) -> _Made:
    n, k, top = rng.randint(1, 3), rng.randint(1, 6), rng.randint(1, 5)
    a = (n + 1) * k
    value = k * top ** (n + 1)
    body = f"{a}x" if n == 1 else f"{a}x^{n}"
    sign = Box(34, 34, 34, _integral_sign(str(top)))
    drawn = row(sign, text(f" {a}x") if n == 1 else power(text(f" {a}x"), str(n)), text(" dx"))
    return [drawn], f"\\int_0^{{{top}}} {body} \\, dx", [
        QA(rng.choice(("Evaluate the definite integral.", "What is the value of this integral?",
            "计算这个定积分。")),
                f"An antiderivative is {'' if k == 1 else k}x^{n + 1}; between 0 and {top} it "
                          f"grows by {value}."),
        QA("What is the upper limit?", str(top)),
    ]  # fmt: skip


def _integral_sign(top: str) -> Callable[[ImageDraw.ImageDraw, float, float], None]:
    def draw(pen: ImageDraw.ImageDraw, x: float, y: float) -> None:
        pen.arc((x + 10, y - 32, x + 22, y - 16), 180, 350, fill=_INK, width=3)
        pen.line((x + 11, y - 24, x + 11, y + 24), fill=_INK, width=3)
        pen.arc((x, y + 16, x + 12, y + 32), 0, 170, fill=_INK, width=3)
        pen.text((x + 25, y - 34), top, fill=_INK, font=font(17), anchor="la")
        pen.text((x + 17, y + 16), "0", fill=_INK, font=font(17), anchor="la")

    return draw


def _determinant(rng: random.Random) -> _Made:
    a, b, c, d = (rng.randint(-9, 12) for _ in range(4))
    latex = f"\\begin{{vmatrix}} {a} & {b} \\\\ {c} & {d} \\end{{vmatrix}}"
    return [row(grid([[str(a), str(b)], [str(c), str(d)]], True), text(" = ?"))], latex, [
        QA(rng.choice(("Compute the determinant.", "What is this determinant?", "求这个行列式的值。")),
            f"({a})({d}) - ({b})({c}) = {a * d} - {_wrapped(b * c)} = {a * d - b * c}."),
        QA("What is the trace of the matrix?", str(a + d)),
    ]  # fmt: skip


def _system(rng: random.Random) -> _Made:
    x, y, m = rng.randint(-9, 14), rng.randint(-9, 14), rng.randint(2, 6)
    first, second = f"x + y = {x + y}", f"{m}x - y = {m * x - y}"
    return [text(first), text(second)], f"{first} \\\\ {second}", [
        QA(rng.choice(("Solve the system.", "Find x and y.", "解这个方程组。")),
            f"Adding both lines gives {m + 1}x = {(m + 1) * x}, so x = {x} and y = {y}."),
        QA("How many equations are shown?", "Two"),
    ]  # fmt: skip


def _product(rng: random.Random) -> _Made:
    rows = [[rng.randint(-5, 9) for _ in range(2)] for _ in range(2)]
    u, v = rng.randint(-6, 9), rng.randint(-6, 9)
    out = [r[0] * u + r[1] * v for r in rows]
    matrix = f"{rows[0][0]} & {rows[0][1]} \\\\ {rows[1][0]} & {rows[1][1]}"
    begin, end = "\\begin{bmatrix}", "\\end{bmatrix}"
    latex = f"{begin} {matrix} {end} {begin} {u} \\\\ {v} {end}"
    drawn = row(
        grid([[str(n) for n in r] for r in rows], False), text(" "), grid([[str(u)], [str(v)]], False)
    )
    return [drawn], latex, [
        QA(rng.choice(("Multiply the matrix by the vector.", "What vector results?", "求矩阵与向量的乘积。")),
            f"The result is ({out[0]}, {out[1]})."),
        QA("What is the determinant of the matrix?", str(rows[0][0] * rows[1][1] - rows[0][1] * rows[1][0])),
    ]  # fmt: skip


def _signed(n: int) -> str:
    return f"{'+' if n > 0 else '-'} {abs(n)}"


def _wrapped(n: int) -> str:
    return f"({n})" if n < 0 else str(n)


_MAKERS: tuple[Callable[[random.Random], _Made], ...] = (
    _linear, _quadratic, _fractions, _radical, _integral, _determinant, _system, _product,
)  # fmt: skip
