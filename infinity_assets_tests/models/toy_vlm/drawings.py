"""Pictures of one coloured shape on a plain ground, the prompts about them, and the answers that are true.

The toy model is trained on these prompts and no others; tests ask with the same ones.
"""

from __future__ import annotations

import io
import json
import random
from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageDraw

SIDE = 84  #: pixels; 6 x 6 patches of 14, merged to 9 tokens
COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (220, 30, 30),
    "green": (30, 160, 50),
    "blue": (40, 60, 220),
    "yellow": (235, 215, 40),
    "black": (15, 15, 15),
    "white": (250, 250, 250),
    "orange": (245, 140, 20),
    "pink": (250, 150, 190),
}
SHAPES = ("circle", "square", "triangle")
SUBJECTS = ("shape", "background")  #: what a question is about; also its type
STYLES = ("brief", "sentence", "detailed")
SCORES = {True: 10, False: 1}  #: what the judge says of a right and of a wrong answer

_QUESTIONS = ("What color is the {}?", "What is the color of the {}?", "Which color does the {} have?")

ASK_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"question": {"type": "string"}, "type": {"enum": list(SUBJECTS)}},
    "required": ["question", "type"],
    "additionalProperties": False,
}
ANSWER_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"answer": {"type": "string"}},
    "required": ["answer"],
    "additionalProperties": False,
}
JUDGE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"reason": {"type": "string"}, "score": {"type": "integer", "minimum": 1, "maximum": 10}},
    "required": ["reason", "score"],
    "additionalProperties": False,
}


@dataclass(frozen=True)
class Drawing:
    """One picture and what is true of it."""

    image: Image.Image
    colours: dict[str, str]  #: colour of each subject

    def png(self) -> bytes:
        """The picture as a PNG file."""
        out = io.BytesIO()
        self.image.save(out, "PNG")
        return out.getvalue()


def draw(rng: random.Random) -> Drawing:
    """One shape of at least 30 pixels in two colours that differ."""
    front, ground = rng.sample(list(COLOURS), 2)
    image = Image.new("RGB", (SIDE, SIDE), COLOURS[ground])
    pen = ImageDraw.Draw(image)
    width = rng.randint(30, 60)
    x, y = rng.randint(2, SIDE - width - 2), rng.randint(2, SIDE - width - 2)
    box, fill = (x, y, x + width, y + width), COLOURS[front]
    match rng.choice(SHAPES):
        case "circle":
            pen.ellipse(box, fill=fill)
        case "square":
            pen.rectangle(box, fill=fill)
        case _:
            pen.polygon([(x + width // 2, y), (x, y + width), (x + width, y + width)], fill=fill)
    return Drawing(image, {"shape": front, "background": ground})


def ask_prompt(subject: str) -> str:
    """Ask the model for a question of a type."""
    return f"Write one question of type {subject}."


def answer_prompt(question: str, style: str = "brief") -> str:
    """Ask the model a question."""
    return f"Answer ({style}): {question}"


def judge_prompt(question: str, answer: str) -> str:
    """Ask the model to score an answer from 1 to 10."""
    return f"Question: {question} Answer: {answer} Score it."


def questions(subject: str) -> list[str]:
    """All wordings of the question about a subject."""
    return [wording.format(subject) for wording in _QUESTIONS]


def answer(subject: str, colour: str, style: str) -> str:
    """The answer in one of three styles."""
    return {
        "brief": colour,
        "sentence": f"It is {colour}.",
        "detailed": f"The color of the {subject} is {colour}.",
    }[style]


def example(rng: random.Random, drawing: Drawing) -> tuple[str, str]:
    """A prompt about a drawing and the reply to it: a quarter asks, a quarter answers, half judges.

    Half of the answers to be judged are wrong. A judge first names the colour that it sees and the one that
    was said, then scores: two words side by side are easier to compare than pixels with a word somewhere.
    """
    subject, kind = rng.choice(SUBJECTS), rng.random()
    question, style = rng.choice(questions(subject)), rng.choice(STYLES)
    true = drawing.colours[subject]
    if kind < 0.25:
        return ask_prompt(subject), json.dumps({"question": question, "type": subject})
    if kind < 0.5:
        return answer_prompt(question, style), json.dumps({"answer": answer(subject, true, style)})
    right = rng.random() < 0.5
    said = true if right else rng.choice([colour for colour in COLOURS if colour != true])
    reply = json.dumps({"reason": f"{true}, {said}", "score": SCORES[right]})
    return judge_prompt(question, answer(subject, said, style)), reply
