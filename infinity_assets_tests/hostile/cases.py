"""The hostile corpus as a table: what lies in a source's folder, and what must become of every row of it.

A case belongs to one source; cases of one source share its folder, as bad files do in life. ``rows`` says
what ``unified`` must hold of the case, by (file, row): a reason, or None for a sample that is kept. Together
the cases of a source name every row that it has, so a row too many or too few fails as well.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from infinity_assets_tests.stages.images import pictures as p

#: (file, row number) -> reason of quarantine, or None for a kept sample. No number where files are rows.
Rows = Mapping[tuple[str, int | None], str | None]


#: A file's bytes, or what makes them where they are large.
Content = bytes | Callable[[], bytes]


@dataclass(frozen=True)
class Case:
    """One kind of bad input."""

    name: str
    source: str
    files: Mapping[str, Content] = field(default_factory=dict)
    rows: Rows = field(default_factory=dict)
    write: Callable[[Path], None] | None = None  #: what plain files cannot say; given the source's folder
    says: str = ""  #: must stand in the detail of every quarantined row of the case
    texts: Mapping[tuple[str, int], str] = field(default_factory=dict)  #: text that must survive, by row


def made(content: Content) -> bytes:
    """The bytes of a file."""
    return content() if callable(content) else content


def whole(seed: int) -> bytes:
    """A good picture of its own."""
    return p.encode(p.photo(48, 36, seed), "PNG")


def talk(key: str, image: Any = None, text: str = "") -> dict[str, Any]:
    """A good LLaVA row, about a picture where one is given."""
    answer = f"The record {key} tells of a quiet harbour with three boats and one lamp. {text}".strip()
    row: dict[str, Any] = {
        "id": key,
        "conversations": [
            {"from": "human", "value": f"What does the record called {key} tell us about?"},
            {"from": "gpt", "value": answer},
        ],
    }
    return row if image is None else {**row, "image": image}


def line(key: str, **more: Any) -> bytes:
    """A good row as one line of JSON."""
    return json.dumps({**talk(key), **more}).encode()


def _turns(key: str, value: Any) -> bytes:
    return json.dumps({"id": key, "conversations": value}).encode()


# -- pictures: one row and one file each -----------------------------------------------------------

PHOTO = p.photo(160, 120)
GREY = PHOTO.convert("L")
JPEG, PNG, GIF, WEBP, TIFF = (p.encode(PHOTO, kind) for kind in ("JPEG", "PNG", "GIF", "WEBP", "TIFF"))
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 12345\n"
TILES = [
    *((256, 3, 1, 8), (257, 3, 1, 8), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)),
    *((322, 4, 1, 65536), (323, 4, 1, 65536), (324, 4, 1, 200), (325, 4, 1, 9)),
]


def _own(seed: int, **how: Any) -> bytes:
    return p.encode(p.photo(96, 72, 1000 + seed), **how)


def _holes(seed: int) -> Image.Image:
    alpha = np.full((72, 96, 1), 255, np.uint8)
    alpha[:20, :20] = 0
    return Image.fromarray(np.dstack([np.asarray(p.photo(96, 72, seed)), alpha]))


def _exif_loop() -> bytes:
    """Exif whose directory names itself as the next one and as its own sub-directory."""
    entry = (0x8769).to_bytes(2, "little") + b"\4\0\1\0\0\0\x08\0\0\0"
    return b"Exif\0\0II*\0\x08\0\0\0\1\0" + entry + b"\x08\0\0\0"


#: name -> (file name, bytes, reason or None)
PICTURES: dict[str, tuple[str, Content, str | None]] = {
    "zero bytes": ("zero.jpg", b"", "zero_bytes"),
    "one byte": ("one.jpg", b"\xff", "not_an_image"),
    "noise": ("noise.jpg", np.random.default_rng(1).bytes(4000), "not_an_image"),
    "half a JPEG": ("half.jpg", JPEG[: len(JPEG) // 2], "truncated_image"),
    "JPEG magic and no more": ("magic.jpg", b"\xff\xd8\xff\xe0", "unreadable_image"),
    "half a PNG": ("half.png", PNG[: len(PNG) // 2], "truncated_image"),
    "PNG with a wrong CRC": ("crc.png", PNG[:31] + b"\0\0" + PNG[33:], "unreadable_image"),
    "half a GIF": ("half.gif", GIF[: len(GIF) // 2], "truncated_image"),
    "half a WebP": ("half.webp", WEBP[: len(WEBP) // 2], "truncated_image"),
    "half a TIFF": ("half.tif", TIFF[: len(TIFF) // 2], "truncated_image"),
    "PNG that declares 2 Gpx": ("ihdr.png", p.png(46341, 46341, b"\0"), "too_large"),
    "PNG whose pixel data is a zlib bomb": ("idat.png", lambda: p.png(1, 1, bytes(200_000_000)), None),
    "PNG whose text is a zlib bomb": (
        "text.png",
        lambda: p.png(
            1, 1, b"\0\7", before=p.chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(200_000_000), 9))
        ),
        "unreadable_image",
    ),
    "PNG whose colour profile is a zlib bomb": (
        "iccp.png",
        lambda: p.png(
            1, 1, b"\0\x09", before=p.chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(200_000_000), 9))
        ),
        "unreadable_image",
    ),
    "GIF of 9,000 frames": ("frames.gif", p.gif(9000), "too_many_frames"),
    "GIF without a frame": ("none.gif", p.gif(0), "unreadable_image"),
    "TIFF with a tile of 4 Gpx": ("tile.tif", p.tiff(TILES, bytes(99)), "too_large"),
    "BMP that declares 4 Gpx": ("large.bmp", p.bmp(65536, 65536, b""), "too_large"),
    "ICO with a PNG bomb inside": ("bomb.ico", p.ico_png(16, p.png(50000, 50000, b"\0")), "too_large"),
    "file over the byte limit": ("fat.jpg", lambda: JPEG + bytes(65 << 20), "too_large"),
    "LFS pointer": ("pointer.jpg", POINTER, "lfs_pointer"),
    "SVG with a script": ("script.svg", SVG, "unsupported_format"),
    "SVG named png": ("svg.png", SVG + b" ", "unsupported_format"),
    "HTML named jpg": ("404.jpg", b"<!DOCTYPE html><html>404 Not Found</html>", "not_an_image"),
    "JSON named png": ("error.png", b'{"error": "rate limited"}', "not_an_image"),
    "zip named jpg": ("zip.jpg", b"PK\3\4" + bytes(60), "not_an_image"),
    "PostScript named jpg": ("ps.jpg", b"%!PS-Adobe-3.0 EPSF-3.0\n(ls) system\n", "unsupported_format"),
    "PDF named png": ("pdf.png", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "unsupported_format"),
    "HEIC": ("phone.heic", b"\0\0\0\x18ftypheic" + bytes(40), "unsupported_format"),
    "video named gif": ("clip.gif", b"\0\0\0\x18ftypmp42" + bytes(40), "not_an_image"),
    "floating-point TIFF": ("float.tif", p.encode(GREY.convert("F"), "TIFF"), "unsupported_format"),
    "PNG of the largest size allowed": (
        "largest.png",
        lambda: p.encode(Image.new("RGB", (8192, 8192), (20, 40, 60)), "PNG", compress_level=1),
        None,
    ),
    "animated GIF": (
        "moving.gif",
        p.encode(p.photo(64, 48, 1), "GIF", save_all=True, append_images=[p.photo(64, 48, 2)]),
        None,
    ),
    "JPEG named png": ("lie.png", _own(1, kind="JPEG"), None),
    "PNG named after nothing": ("no_suffix", _own(2, kind="PNG"), None),
    "CMYK JPEG": ("cmyk.jpg", p.encode(p.photo(96, 72, 3).convert("CMYK"), "JPEG"), None),
    "16-bit PNG": (
        "deep.png",
        p.encode(Image.fromarray((np.asarray(GREY).astype(np.uint16) << 8) + 7), "PNG"),
        None,
    ),
    "palette with transparency": (
        "p.png",
        p.encode(p.photo(96, 72, 4).quantize(16), "PNG", transparency=3),
        None,
    ),
    "grey with alpha": ("la.png", p.encode(_holes(5).convert("LA"), "PNG"), None),
    "colour with alpha": ("rgba.png", p.encode(_holes(6), "PNG"), None),
    "Exif that loops": ("exif.jpg", _own(7, kind="JPEG", exif=_exif_loop()), None),
    "garbage for a colour profile": ("icc.jpg", _own(8, kind="JPEG", icc_profile=b"\xff" * 3000), None),
    "bytes behind the end": ("tail.jpg", _own(9, kind="JPEG") + b"<?php system($_GET[0]); ?>" * 9, None),
    "1 pixel": ("pixel.png", p.encode(PHOTO.crop((9, 9, 10, 10)), "PNG"), None),
    "20,000 x 1": ("strip.png", p.encode(GREY.resize((20000, 1)), "PNG"), None),
}


def picture_cases() -> list[Case]:
    """One row for each picture, with a good row after the last."""
    rows = [talk(f"picture {i}", name) for i, (name, _, _) in enumerate(PICTURES.values())]
    cases = [
        Case(title, "pictures", {name: data}, {("rows.jsonl", i): reason})
        for i, (title, (name, data, reason)) in enumerate(PICTURES.items())
    ]
    lines = [json.dumps(row).encode() for row in [*rows, talk("good", "good.png")]]
    good = {"rows.jsonl": b"\n".join(lines), "good.png": whole(1)}
    return [*cases, Case("good picture after them", "pictures", good, {("rows.jsonl", len(rows)): None})]


# -- references from rows to media -----------------------------------------------------------------

#: name -> (what the row's ``image`` holds, reason or None)
REFERENCES: dict[str, tuple[Any, str | None]] = {
    "absolute path": ("/etc/passwd", "path_outside_source"),
    "path of dots": ("../../../../etc/passwd", "path_outside_source"),
    "dots behind a folder": ("sub/../../secret.png", "path_outside_source"),
    "dots that stay inside": ("sub/../good.png", None),
    "https address": ("https://example.com/a.png", "remote_media"),
    "file address": ("file:///etc/passwd", "remote_media"),
    "metadata service": ("http://169.254.169.254/latest/meta-data/", "remote_media"),
    "data address": ("data:image/png;base64,iVBORw0KGgo=", "remote_media"),
    "Windows path": ("C:\\pictures\\a.png", "path_outside_source"),
    "Windows share": ("\\\\server\\share\\a.png", "path_outside_source"),
    "backslashes inside": ("sub\\good.png", "missing_image"),
    "missing file": ("nowhere.png", "missing_image"),
    "a folder": ("sub", "missing_image"),
    "the source itself": (".", "missing_image"),
    "NUL byte": ("good.png\0.jpg", "missing_image"),
    "name of 5,000 characters": ("a" * 5000 + ".png", "missing_image"),
    "line end in the name": ("no\nsuch\x1b[31m.png", "missing_image"),
    "list with one missing": (["good.png", "nowhere.png"], "missing_image"),
    "number": (42, "bad_record"),
    "object": ({"path": "good.png"}, "bad_record"),
    "list of lists": ([["good.png"]], "bad_record"),
    "list of empty text": ([""], "bad_record"),
    "empty text": ("", None),
    "null": (None, None),
    "link inside": ("link.png", None),
    "link that leads out": ("out.png", "unreadable_file"),
    "dangling link": ("dangling.png", "unreadable_file"),
    "link to itself": ("loop.png", "unreadable_file"),
    "linked folder": ("linked/secret.png", "missing_image"),
    "pipe": ("pipe.png", "unreadable_file"),
    "folder named as a picture": ("folder.png", "missing_image"),
    "space in the name": ("two words.png", None),
    "line end in a name that exists": ("two\nlines.png", None),
    "name of 250 characters": ("n" * 246 + ".png", None),
    "more markers than pictures": ("good.png", "media_count_mismatch"),
}


def _odd_files(folder: Path) -> None:
    import os

    secret = folder.parent / "outside"
    secret.mkdir()
    (secret / "secret.png").write_bytes(whole(99))
    (folder / "sub").mkdir()
    (folder / "folder.png").mkdir()
    (folder / "link.png").symlink_to("good.png")
    (folder / "out.png").symlink_to("../outside/secret.png")
    (folder / "dangling.png").symlink_to("not there")
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "linked").symlink_to("../outside", target_is_directory=True)
    os.mkfifo(folder / "pipe.png")
    Path(os.fsdecode(os.fsencode(folder) + b"/not \xff utf-8.png")).write_bytes(whole(98))


def reference_cases() -> list[Case]:
    """One row for each way of naming a picture."""
    cases, lines = [], []
    for i, (title, (image, reason)) in enumerate(REFERENCES.items()):
        row = {**talk(f"reference {i}"), "image": image}
        if title.startswith("more markers"):
            row["conversations"][0]["value"] = "<image> <image> What differs?"
        lines.append(json.dumps(row).encode())
        cases.append(Case(f"reference: {title}", "references", rows={("rows.jsonl", i): reason}))
    files = {"rows.jsonl": b"\n".join(lines), "good.png": whole(2)}
    files |= {"two words.png": whole(3), "two\nlines.png": whole(4), "n" * 246 + ".png": whole(5)}
    return [*cases, Case("files that are none", "references", files, write=_odd_files)]


# -- rows of JSON, one good on each side -----------------------------------------------------------

DEEP = b"[" * 100_000
LONG = 10_000_000

#: name -> (a line, reason or None)
LINES: dict[str, tuple[Content, str | None]] = {
    "not JSON": (b"{this is not json}", "bad_json"),
    "cut row": (line("cut")[:60], "bad_json"),
    "NaN": (line("nan", score=1).replace(b'"score": 1', b'"score": NaN'), "bad_json"),
    "Infinity": (line("inf", score=1).replace(b'"score": 1', b'"score": -Infinity'), "bad_json"),
    "1e999": (line("1e999", score=1).replace(b'"score": 1', b'"score": 1e999'), "bad_json"),
    "lone surrogate": (line("half").replace(b"quiet", b"\\ud83d"), "bad_json"),
    "invalid UTF-8": (line("latin").replace(b"quiet", b"caf\xe9"), "bad_json"),
    "over-long UTF-8": (line("slash").replace(b"quiet", b"\xc0\xaf"), "bad_json"),
    "repeated key": (line("again")[:-1] + b', "id": "other"}', "bad_json"),
    "100,000 brackets": (b'{"id": "deep", "conversations": ' + DEEP + b"]" * 100_000 + b"}", "bad_json"),
    "100,000 open brackets": (b'{"id": "deep", "conversations": ' + DEEP, "bad_json"),
    "500 brackets in an extra field": (
        line("500", x=1).replace(b"1}", b"[" * 500 + b"]" * 500 + b"}"),
        "bad_json",
    ),
    "integer of 30 digits": (line("big", number=10**30), "bad_json"),
    "integer of 5,000 digits": (line("huge", number=1).replace(b"1}", b"7" * 5000 + b"}"), "bad_json"),
    "largest unsigned 64-bit integer": (line("phash", phash=2**64 - 1), None),
    "raw NUL byte": (line("nul").replace(b"quiet", b"a\0b"), "bad_json"),
    "escaped NUL": (line("escaped").replace(b"quiet", b"a\\u0000b"), None),
    "number for a row": (b"42", "bad_record"),
    "null for a row": (b"null", "bad_record"),
    "text for a row": (b'"hello"', "bad_record"),
    "list for a row": (b"[1, 2]", "bad_record"),
    "empty object": (b"{}", "bad_record"),
    "two rows on one line": (line("a") + b" " + line("b"), "bad_json"),
    "text for conversations": (_turns("text", "hello"), "bad_turns"),
    "null for conversations": (_turns("null", None), "bad_turns"),
    "empty conversations": (_turns("empty", []), "bad_turns"),
    "numbers for turns": (_turns("numbers", [1, 2]), "bad_turns"),
    "unknown role": (_turns("role", [{"from": "wizard", "value": "hi"}]), "bad_turns"),
    "list for a role": (_turns("list", [{"from": ["human"], "value": "hi"}]), "bad_turns"),
    "number for a text": (_turns("n", [{"from": "human", "value": 7}]), "bad_turns"),
    "turn without text": (_turns("without", [{"from": "human"}]), "bad_turns"),
    "part of an unknown type": (
        _turns("part", [{"from": "human", "value": [{"type": "hologram"}]}]),
        "bad_turns",
    ),
    "marker and no picture": (_turns("m", [{"from": "human", "value": "<image> ?"}]), "media_count_mismatch"),
    "id that is an object": (line("x", id={"a": [1]}), None),
    "id of 10,000 characters": (line("i" * 10_000), None),
    "licence that is a list": (line("licence", license=["MIT"]), None),
    "10 MB of words": (lambda: line("words").replace(b"quiet", b"ten words " * (LONG // 10)), None),
    "1 MB of one letter": (lambda: line("letters", x=1).replace(b"quiet", b"a" * (LONG // 10)), None),
    "10 MB of spaces": (lambda: line("spaces").replace(b"quiet", b" " * LONG), None),
    "400,000 combining marks": (lambda: line("marks").replace(b"quiet", b"\\u0301\\u0316" * 200_000), None),
    "turn of 17 million characters": (
        lambda: line("turn").replace(b"quiet", b"many words " * (17 << 17)),
        "too_large",
    ),
    "row of 65 MiB": (lambda: line("row").replace(b"quiet", b"b" * (65 << 20)), "too_large"),
}

#: Text that must come through as it is; nothing here is markup to a table.
SURVIVORS = {
    "ANSI codes": "\x1b[2J\x1b[31mred\x1b]0;title\x07",
    "script tag": "<script>alert('x')</script><img src=x onerror=alert(1)>",
    "Markdown link": "[click](javascript:alert(1)) ![](https://example.com/track.png)",
    "template": "{{ 7 * 7 }} {% include '/etc/passwd' %} ${jndi:ldap://x} %s %n",
    "SQL": "'; DROP TABLE samples; --",
    "formula": '=HYPERLINK("http://example.com")',
    "right-to-left override": "\u202egnp.exe\u2066 \ufeff\u200b",
    "rich markup": "[bold red]not markup[/bold red] [link=file:///etc]x[/link]",
    "beyond the basic plane": "\U0001f469\u200d\U0001f680 \U00020000",
}


def line_cases() -> list[Case]:
    """JSON Lines: each bad line in one file with all the others, good lines between them."""
    content: list[Content] = []
    cases = []
    for title, (text, reason) in LINES.items():
        cases.append(Case(f"line: {title}", "lines", rows={("rows.jsonl", len(content)): reason}))
        content.append(text)
        cases.append(Case(f"good line after: {title}", "lines", rows={("rows.jsonl", len(content)): None}))
        content.append(line(f"good after {title}"))
    for title, odd in SURVIVORS.items():
        at = ("rows.jsonl", len(content))
        cases.append(Case(f"text: {title}", "lines", rows={at: None}, texts={at: odd}))
        content.append(json.dumps(talk(title, text=odd)).encode())
    return [
        *cases,
        Case("file of all lines", "lines", {"rows.jsonl": lambda: b"\n".join(map(made, content))}),
    ]
