"""Pages that look printed (invoices, letters, notices, recipes, receipts), and what can be read on them."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
from PIL import ImageDraw

from infinity_assets.demo.parts import QA, Pixels, canvas, font, pixels_of, some, words

INK = (38, 40, 48)
GREY = (120, 124, 132)
PAPERS = ((255, 255, 255), (252, 249, 240), (246, 248, 250), (250, 246, 236))

_FIRST = words(
    "Ada, Bruno, Celia, Dmitri, Elena, Farid, Greta, Hugo, Irina, Jamal, Keiko, Luca, Mara, Nils, Olga, "
    "Priya, Quentin, Rosa, Sven, Tala"
)
_LAST = words(
    "Abernathy, Bergstrom, Castellan, Dufour, Eriksen, Fontana, Grimaldi, Hollis, Ivanova, Jansen, "
    "Kowalski, Lindqvist, Moreau, Nakata, Okafor, Petrov, Quist, Romero, Sato, Thorne"
)
_FIRMS = words(
    "Northwind Tools, Bramble & Finch, Cobalt Print, Delta Marine, Everglow Lamps, Foxglove Foods, "
    "Granite Works, Hazel Garden, Ironbridge Cycles, Juniper Paper"
)
_STREETS = words(
    "Mill Lane, Station Road, Quay Street, Orchard Way, Tannery Court, Beacon Hill, Canal Side, Foundry Row"
)
_TOWNS = ("Aldermoor", "Brackwater", "Coldharbour", "Dunmere", "Eastwick", "Farrow", "Glenford", "Hartsend")
_GOODS = (
    ("Steel hinge", 4),
    ("Oak shelf", 38),
    ("Paint, 5 l", 27),
    ("Work gloves", 9),
    ("Desk lamp", 46),
    ("Cable, 10 m", 15),
    ("Hand saw", 22),
    ("Door handle", 12),
    ("Wall clock", 31),
    ("Tool box", 54),
    ("Garden hose", 19),
    ("Storage crate", 8),
)
_EVENTS = words(
    "Harvest Fair, Choir Evening, Chess Tournament, Book Swap, Repair Cafe, Kite Festival, Film Night, "
    "Plant Market, Blood Drive, Swimming Gala"
)
_SPOTS = words(
    "Town Hall, Riverside Park, Old Library, Market Square, School Gym, St Mary's Yard, Boat House, "
    "Community Centre"
)
_DISHES = words(
    "Lentil soup, Plum tart, Barley stew, Mushroom pie, Pepper risotto, Walnut bread, Fish chowder, "
    "Carrot cake, Rice pudding, Onion quiche"
)
_INGREDIENTS = words(
    "red lentils, plain flour, butter, brown sugar, carrots, onions, milk, eggs, walnuts, mushrooms, "
    "rice, plums, cream, barley, garlic, thyme"
)
_MONTHS = words(
    "January, February, March, April, May, June, July, August, September, October, November, December"
)
_TOPICS = (("the lease of the corner shop", "The current lease ends in eight weeks and the owner has "
    "offered two more years."), ("the broken street lamp", "It has been dark for nine evenings and the "
        "crossing is no longer safe."), ("the school excursion",
            "Forty pupils will travel by coach and every one needs a packed lunch."),
                ("the new library hours", "From next month the reading room stays open until nine on "
                    "weekdays."), ("the bridge inspection", "Engineers will close one lane for three "
                        "nights to look at the bearings."),
                            ("the community garden",
                                "Six raised beds are free and seeds may be collected at the gate."),
                                    ("the choir rehearsal",
                                        "The organ is being tuned, so the rehearsal moves upstairs."), (
                                            "the delayed delivery",
                                                "Your parcel was held at the port because a form had not "
                                                    "been signed."))  # fmt: skip
_CLOSINGS = ("Please reply before the end of the week.", "A short call would be enough to settle this.",
    "Kindly bring this letter with you.", "We are sorry for the trouble this causes.",
        "Thank you for your patience.")  # fmt: skip


@dataclass(slots=True)
class Page:
    """A page's picture and what can be read on it: question, answer."""

    pixels: Pixels
    kind: str
    known: list[QA] = field(default_factory=list)


def draw_page(rng: random.Random) -> Page:
    """One page of a random kind, about 440 x 560 pixels, some of them a little askew like a scan."""
    page = rng.choice(_KINDS)(rng)
    if rng.random() < 0.25:
        height, width = page.pixels.shape[:2]
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), rng.choice((-1.6, -0.9, 0.9, 1.6)), 0.97)
        page.pixels = cv2.warpAffine(page.pixels, turn, (width, height), borderValue=(176, 178, 182))
    return page


def ask(rng: random.Random, page: Page, count: int) -> list[QA]:
    """``count`` questions, the page's kind among what may be asked."""
    kind = QA(
        rng.choice(("What type of document is this?", "What kind of page is shown?",
            "Classify this document.", "这是什么类型的文件？")),
        f"{'An' if page.kind[0] in 'aeiou' else 'A'} {page.kind}.",
    )  # fmt: skip
    return rng.sample([*page.known, kind], min(count, len(page.known) + 1))


def person(rng: random.Random) -> str:
    """A made-up full name."""
    return f"{rng.choice(_FIRST)} {rng.choice(_LAST)}"


def _date(rng: random.Random) -> str:
    return f"{rng.randint(1, 28)} {rng.choice(_MONTHS)} {rng.randint(2015, 2026)}"


def _invoice(rng: random.Random) -> Page:
    firm, client, number, date = (
        rng.choice(_FIRMS),
        person(rng),
        f"INV-{rng.randint(10000, 99999)}",
        _date(rng),
    )
    lines = [(name, rng.randint(1, 9), price) for name, price in some(rng, _GOODS, 3, 6)]
    total = sum(n * price for _, n, price in lines)
    image, pen = canvas(440, 540, rng.choice(PAPERS))
    accent = rng.choice(((30, 84, 140), (148, 50, 54), (36, 112, 86), (84, 66, 140)))
    pen.rectangle((0, 0, 440, 66), fill=accent)
    pen.text((24, 20), firm, fill=(255, 255, 255), font=font(22))
    pen.text((416, 24), "INVOICE", fill=(255, 255, 255), font=font(18), anchor="ra")
    rows = (
        (f"Invoice no. {number}", f"Date: {date}"),
        (f"Bill to: {client}", f"{rng.randint(1, 99)} {rng.choice(_STREETS)}"),
    )
    for i, (left, right) in enumerate(rows):
        pen.text((24, 90 + 24 * i), left, fill=INK, font=font(13))
        pen.text((416, 90 + 24 * i), right, fill=INK, font=font(13), anchor="ra")
    y = 158
    for x, text, anchor in (
        (24, "Item", "la"),
        (270, "Qty", "ra"),
        (340, "Price", "ra"),
        (416, "Amount", "ra"),
    ):
        pen.text((x, y), text, fill=accent, font=font(13), anchor=anchor)
    for name, n, price in lines:
        y += 32
        pen.line((24, y - 8, 416, y - 8), fill=(206, 208, 212))
        for x, text, anchor in (
            (24, name, "la"),
            (270, str(n), "ra"),
            (340, f"{price}.00", "ra"),
            (416, f"{n * price}.00", "ra"),
        ):
            pen.text((x, y), text, fill=INK, font=font(13), anchor=anchor)
    pen.line((240, y + 34, 416, y + 34), fill=accent, width=2)
    pen.text((416, y + 44), f"Total  {total}.00 EUR", fill=INK, font=font(17), anchor="ra")
    pen.text(
        (24, 506), f"Payable within {rng.choice((14, 21, 30))} days. Thank you!", fill=GREY, font=font(12)
    )
    name, n, price = rng.choice(lines)
    return Page(pixels_of(image), "invoice", [
        QA(rng.choice(("What is the invoice number?", "Which number does this invoice carry?")), number),
        QA(rng.choice(("What is the total amount?", "How much has to be paid?", "发票总金额是多少？")),
        f"{total}.00 EUR"),
        QA(rng.choice(("Who is billed?", "Who is the customer on this invoice?")), client),
        QA("Which company issued the invoice?", firm), QA("When was it issued?", date),
        QA(f"How many units of \"{name}\" were bought?", str(n)),
        QA(f"What does one \"{name}\" cost?", f"{price}.00 EUR"),
    ])  # fmt: skip


def _letter(rng: random.Random) -> Page:
    sender, reader, date, town = person(rng), person(rng), _date(rng), rng.choice(_TOWNS)
    topic, fact = rng.choice(_TOPICS)
    closing = rng.choice(_CLOSINGS)
    image, pen = canvas(440, 560, rng.choice(PAPERS))
    pen.text((404, 36), sender, fill=INK, font=font(15), anchor="ra")
    pen.text(
        (404, 58),
        f"{rng.randint(1, 99)} {rng.choice(_STREETS)}, {town}",
        fill=GREY,
        font=font(13),
        anchor="ra",
    )
    pen.text((404, 92), date, fill=INK, font=font(13), anchor="ra")
    pen.text((36, 140), f"Dear {reader},", fill=INK, font=font(15))
    y = _paragraph(pen, 36, 176, 52, f"I am writing to you about {topic}. {fact} {closing}", 14)
    y = _paragraph(pen, 36, y + 12, 52, rng.choice(("If anything is unclear, my door is open on weekday "
        "mornings.", "You will find the details on the reverse of this page.",
            "I shall be away in the first week of the month.")), 14)  # fmt: skip
    pen.text((36, y + 26), "With kind regards,", fill=INK, font=font(14))
    pen.text((36, y + 58), sender, fill=(30, 50, 140), font=font(24))
    return Page(pixels_of(image), "letter", [
        QA(rng.choice(("Who wrote this letter?", "Who signed the letter?", "这封信是谁写的？")), sender),
        QA(rng.choice(("To whom is the letter addressed?", "Who is greeted at the start?")), reader),
        QA("What is the letter about?", f"It is about {topic}."), QA("What date is on the letter?", date),
        QA("Transcribe the sentence that follows the subject of the letter.", fact),
        QA("From which town was it sent?", town),
    ])  # fmt: skip


def _notice(rng: random.Random) -> Page:
    event, spot, date, hour = (
        rng.choice(_EVENTS),
        rng.choice(_SPOTS),
        _date(rng),
        f"{rng.randint(9, 20)}:{rng.choice(('00', '15', '30', '45'))}",
    )
    fee = rng.choice(("free", "3 EUR", "5 EUR", "8 EUR", "12 EUR"))
    ground = rng.choice(((250, 214, 92), (152, 214, 196), (248, 178, 158), (178, 204, 246), (222, 196, 240)))
    image, pen = canvas(420, 540, ground)
    pen.rounded_rectangle((20, 20, 400, 520), 18, fill=(255, 255, 255))
    pen.text(
        (210, 64),
        rng.choice(("You are invited", "Join us", "Save the date", "Everyone welcome")),
        fill=GREY,
        font=font(18),
        anchor="ma",
    )
    pen.text((210, 116), event, fill=INK, font=font(36), anchor="ma")
    pen.line((90, 184, 330, 184), fill=ground, width=5)
    for i, text in enumerate((date, f"Starts at {hour}", spot, f"Entry: {fee}")):
        pen.text((210, 222 + 48 * i), text, fill=INK, font=font(22), anchor="ma")
    pen.text((210, 470), f"Questions? Ask {(host := person(rng))}", fill=GREY, font=font(15), anchor="ma")
    return Page(pixels_of(image), "event poster", [
        QA(rng.choice(("Which event is announced?", "What is the poster for?")), f"The {event}."),
        QA(rng.choice(("Where does it take place?", "活动在哪里举行？")), f"At {spot}."),
        QA("When does it start?", f"At {hour} on {date}."),
        QA(rng.choice(("How much is the entry?", "What does it cost to get in?")), f"Entry: {fee}."),
        QA("Who answers questions about it?", host),
    ])  # fmt: skip


def _recipe(rng: random.Random) -> Page:
    dish, serves, minutes = rng.choice(_DISHES), rng.randint(2, 8), rng.randrange(20, 100, 5)
    parts = [(name, rng.randrange(50, 600, 25)) for name in some(rng, _INGREDIENTS, 4, 6)]
    image, pen = canvas(420, 520, (252, 247, 234))
    pen.text((28, 26), dish, fill=(128, 52, 30), font=font(30))
    pen.text((28, 74), f"Serves {serves}  |  {minutes} minutes", fill=GREY, font=font(15))
    pen.line((28, 102, 392, 102), fill=(214, 176, 140), width=2)
    for i, (name, grams) in enumerate(parts):
        pen.ellipse((32, 125 + 28 * i, 38, 131 + 28 * i), fill=(128, 52, 30))
        pen.text((50, 118 + 28 * i), f"{grams} g {name}", fill=INK, font=font(16))
    first = f"Chop the {parts[0][0]} and warm the {parts[1][0]} in a wide pan."
    steps = f"{first} Stir in everything else, cover, and leave it on a low heat."
    _paragraph(pen, 28, 140 + 28 * len(parts), 50, steps, 14)
    name, grams = rng.choice(parts)
    return Page(pixels_of(image), "recipe", [
        QA(rng.choice(("Which dish is this recipe for?", "What is being cooked?", "这是什么菜的菜谱？")),
            dish),
            QA("How many people does it serve?", str(serves)),
        QA("How long does it take?", f"{minutes} minutes."),
        QA(f"How much of the ingredient \"{name}\" is needed?", f"{grams} g"),
        QA("How many ingredients are listed?", str(len(parts))),
        QA("Which ingredient comes first in the list?", parts[0][0].capitalize() + "."),
    ])  # fmt: skip


def _receipt(rng: random.Random) -> Page:
    shop, till, date = rng.choice(_FIRMS), rng.randint(1, 19), _date(rng)
    lines = [
        (name, price * 100 + rng.choice((0, 25, 49, 50, 75, 99))) for name, price in some(rng, _GOODS, 3, 7)
    ]
    total = sum(cents for _, cents in lines)
    image, pen = canvas(300, 230 + 26 * len(lines), (250, 250, 248))
    pen.text((150, 22), shop.upper(), fill=INK, font=font(18), anchor="ma")
    pen.text((150, 50), f"{date}   Till {till}", fill=GREY, font=font(13), anchor="ma")
    pen.text((150, 72), "- " * 32, fill=GREY, font=font(12), anchor="ma")
    for i, (name, cents) in enumerate(lines):
        pen.text((22, 100 + 26 * i), name, fill=INK, font=font(14))
        pen.text((278, 100 + 26 * i), f"{cents / 100:.2f}", fill=INK, font=font(14), anchor="ra")
    y = 112 + 26 * len(lines)
    pen.text((22, y), "TOTAL", fill=INK, font=font(18))
    pen.text((278, y), f"{total / 100:.2f}", fill=INK, font=font(18), anchor="ra")
    widths = [rng.randint(1, 4) for _ in range(42)]
    for i, wide in enumerate(widths):
        pen.rectangle((24 + 6 * i, y + 44, 23 + 6 * i + wide, y + 84), fill=INK)
    name, cents = rng.choice(lines)
    dear = max(lines, key=lambda item: item[1])
    return Page(pixels_of(image), "till receipt", [
        QA(rng.choice(("What is the total on the receipt?", "How much was spent?")), f"{total / 100:.2f}"),
            QA("At which shop was this bought?", shop.upper()),
        QA(f"What did the item \"{name}\" cost?", f"{cents / 100:.2f}"),
        QA("How many items were bought?", str(len(lines))),
        QA("Which item was the most expensive?", dear[0]),
        QA("Which till printed this receipt?", f"Till {till}."), QA("小票上的日期是什么？", date),
    ])  # fmt: skip


def _paragraph(pen: ImageDraw.ImageDraw, x: int, y: int, columns: int, text: str, size: int) -> int:
    line = ""
    for word in [*text.split(), ""]:
        if not word or len(line) + len(word) + 1 > columns:
            pen.text((x, y), line, fill=INK, font=font(size))
            y, line = y + size + 9, word
        else:
            line = f"{line} {word}".strip()
    return y


_KINDS: tuple[Callable[[random.Random], Page], ...] = (_invoice, _letter, _notice, _recipe, _receipt)
