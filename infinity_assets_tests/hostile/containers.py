"""JSON files, archives, Parquet and CSV of the hostile corpus, and sources that are broken as a whole."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from infinity_assets_tests.hostile.cases import DEEP, POINTER, Case, line, talk, whole

Reasons = tuple[str | None, ...]


def _array(*rows: bytes) -> bytes:
    return b"[\n" + b",\n".join(rows) + b"\n]"


def file_cases() -> list[Case]:
    """JSON files that are odd as a whole."""
    a, b, c = line("a"), line("b"), line("c")

    def case(title: str, name: str, data: bytes, *reasons: str | None) -> Case:
        label = " ".join(name.split()).encode()
        own = data.replace(b'"a"', b'"%s a"' % label).replace(b'"b"', b'"%s b"' % label)
        return Case(f"file: {title}", "files", {name: own}, {(name, i): r for i, r in enumerate(reasons)})

    return [
        case("of zero bytes", "zero.jsonl", b""),
        case("of white space", "space.jsonl", b" \n\t\n" * 1000),
        case("empty array", "empty.json", b"[]"),
        case("array", "array.json", _array(a, b), None, None),
        case("array with a bad row", "bad_row.json", _array(a, b"{oops}", b), None, "bad_json", None),
        case("array with NaN", "nan.json", _array(a, b'{"id": NaN}', b), None, "bad_json", None),
        case(
            "array with a deep row", "deep.json", _array(a, DEEP + b"]" * 100_000, b), None, "bad_json", None
        ),
        case("array of scalars", "scalars.json", b'[1, "two", null]', *["bad_record"] * 3),
        case("array that is cut", "cut.json", _array(a, b)[:-40], None, "unreadable_file"),
        case(
            "array that is never closed", "open.json", b"[\n" + a + b",\n" + b, None, None, "unreadable_file"
        ),
        case(
            "array with something behind",
            "behind.json",
            _array(a, b) + b"\n{}",
            None,
            None,
            "unreadable_file",
        ),
        case("array that lacks a comma", "comma.json", b"[\n" + a + b"\n" + b + b"\n]", None, None),
        case("array with a comma too many", "commas.json", b"[\n" + a + b",\n" + b + b",\n]", None, None),
        case("one scalar", "scalar.json", b"42", "unreadable_file"),
        case("one object", "object.json", b'{"id": 1}', "bad_record"),
        case("byte order mark", "bom.jsonl", b"\xef\xbb\xbf" + a + b"\n" + b, None, None),
        case("UTF-16", "utf16.jsonl", c.decode().encode("utf-16"), "unreadable_file"),
        case("NUL bytes only", "nul.jsonl", bytes(5000), "unreadable_file"),
        case("gzip named jsonl", "packed.jsonl", b"\x1f\x8b\x08\0" + bytes(90), "unreadable_file"),
        case("HTML named json", "404.json", b"<!DOCTYPE html><html>404</html>", "unreadable_file"),
        case("LFS pointer named json", "pointer.json", POINTER, "unreadable_file"),
        case("Windows line ends", "crlf.jsonl", a + b"\r\n\r\n" + b + b"\r\n", None, None),
        case("no line end at the end", "end.jsonl", a + b"\n" + b, None, None),
        case("names with spaces and line ends", "a b\nc.jsonl", a, None),
        Case("file: folder named json", "files", write=lambda folder: (folder / "folder.json").mkdir()),
        Case(
            "file: dangling link named json",
            "files",
            rows={("dangling.json", None): "unreadable_file"},
            write=lambda folder: (folder / "dangling.json").symlink_to("not there"),
        ),
        Case("file: pipe named json", "files", rows={("pipe.json", None): "unreadable_file"}, write=_pipe),
    ]


def _pipe(folder: Path) -> None:
    import os

    os.mkfifo(folder / "pipe.json")


def member(
    name: str, data: bytes = b"", *, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = -1
) -> bytes:
    """One member of a tar, header and data; ``size`` is what the header claims."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, len(data) if size < 0 else size
    return info.tobuf(tarfile.GNU_FORMAT) + data + bytes(-len(data) % 512)


def pair(key: str, seed: int) -> bytes:
    """A good sample: a picture and its row."""
    row = json.dumps(talk(key)).encode().replace(b"What", b"<image>What")
    return member(f"{key}.json", row) + member(f"{key}.png", whole(seed))


END = bytes(1024)


def _record(text: bytes) -> bytes:
    """A PAX record of two digits' length."""
    return b"%d %s\n" % (len(text) + 4, text)


def _pax(records: bytes, name: str, data: bytes) -> bytes:
    return member("pax", records, kind=tarfile.XHDTYPE) + member(name, data)


def _huge_number(name: str) -> bytes:
    """A member whose base-256 size is about 2^86."""
    block = bytearray(member(name)[:512])
    block[124:136] = b"\x80" + b"\x7f" * 11
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def tar_cases() -> list[Case]:
    """Tars with one good sample before the bad part and, where the archive can be read on, one after."""
    seeds = iter(range(100, 1000))

    def case(
        title: str, name: str, body: bytes, *reasons: str | None, end: bytes = END, good: bool = True
    ) -> Case:
        data = pair(f"{name}_a", next(seeds)) + body
        rows: Reasons = (None, *reasons)
        if good:
            data, rows = data + pair(f"{name}_z", next(seeds)), (*rows, None)
        file = f"{name}.tar"
        return Case(f"tar: {title}", "tars", {file: data + end}, {(file, i): r for i, r in enumerate(rows)})

    row = line("x")
    bad = "bad_member"
    plain = pair("gz_a", next(seeds)) + pair("gz_b", next(seeds))
    packed = gzip.compress(plain + END)
    return [
        case("absolute path", "absolute", member("/etc/cron.d/x.json", row), bad),
        case("dots", "dots", member("../../x.json", row), bad),
        case(
            "dots in a PAX path",
            "paxdots",
            _pax(_record(b"path=../../../../../etc/x.json"), "x.json", row),
            bad,
        ),
        case("Windows path", "drive", member("C:\\x.json", row), bad),
        case("NUL and control codes", "control", member("a\x1b[2Jb.json", row), bad),
        case(
            "name that is not UTF-8",
            "latin",
            member(b"caf\xe9.json".decode("utf-8", "surrogateescape"), row),
            bad,
        ),
        case("symbolic link", "symlink", member("x.json", kind=tarfile.SYMTYPE, link="/etc/passwd"), bad),
        case("hard link", "hardlink", member("x.json", kind=tarfile.LNKTYPE, link="/etc/passwd"), bad),
        case("character device", "device", member("x.json", kind=tarfile.CHRTYPE), bad),
        case("named pipe", "fifo", member("x.json", kind=tarfile.FIFOTYPE), bad),
        case("sparse file by PAX", "sparse", _pax(_record(b"GNU.sparse.major=1"), "x.json", row), bad),
        case("unknown kind of member", "kind", member("x.json", row, kind=b"Z"), bad),
        case("folder", "folder", member("sub/", kind=tarfile.DIRTYPE)),
        case("name without a suffix", "bare", member("README", row), bad),
        case("dots in keys", "keys", member("1.5.json", row) + member("1.6.json", row), bad),
        case("name that comes twice", "twice", member("k.json", row) * 2, bad),
        case(
            "key that comes back",
            "back",
            member("k.json", row) + pair("back_m", 50) + member("k.txt", b"?"),
            None,
            None,
            bad,
        ),
        case("JSON that is none", "json", member("k.json", b"{oops"), "bad_json"),
        case("JSON that is a list", "list", member("k.json", b"[]"), "bad_record"),
        case("caption that is not UTF-8", "caption", member("k.txt", b"caf\xe9"), bad),
        case("picture of no bytes", "empty", member("k.json", row) + member("k.png"), bad),
        case(
            "picture that is none",
            "html",
            member("k.txt", b"A page.") + member("k.png", b"<html>"),
            "not_an_image",
        ),
        case("text member over its limit", "large", member("k.json", b" " * (17 << 20)), "too_large"),
        case("header with a wrong checksum", "sum", b"x" * 512, "unreadable_file", good=False),
        case(
            "PAX record that lies about its length",
            "pax",
            _pax(b"99 path=x\n", "x.json", row),
            "unreadable_file",
            good=False,
        ),
        case("no end mark", "mark", b"", "unreadable_file", good=False, end=b""),
        case("end inside a member", "cut", pair("cut_m", 60)[:1700], bad, good=False, end=b""),
        case("size of 2^86", "size", _huge_number("x.png"), "unreadable_file", good=False, end=b""),
        case("archives joined end to end", "joined", END),
        Case(
            "tar: gzip named tar",
            "tars",
            {"named.tar": packed},
            {("named.tar", 0): None, ("named.tar", 1): None},
        ),
        Case(
            "tar: gzip bomb",
            "tars",
            {"bomb.tgz": lambda: gzip.compress(member("a.bin", bytes(200 << 20)) + END)},
            {("bomb.tgz", 0): "too_large"},
        ),
        Case(
            "tar: tgz of garbage",
            "tars",
            {"garbage.tgz": b"\x1f\x8b" + b"?" * 900},
            {("garbage.tgz", 0): "unreadable_file"},
        ),
        Case(
            "tar: zip named tar",
            "tars",
            {"zip.tar": b"PK\3\4" + b"?" * 900},
            {("zip.tar", 0): "unreadable_file"},
        ),
        Case("tar: zero bytes", "tars", {"zero.tar": b""}, {("zero.tar", 0): "unreadable_file"}),
    ]


def table(rows: list[dict[str, Any]], schema: pa.Schema | None = None, **how: Any) -> bytes:
    """Rows as Parquet."""
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), out, **how)
    return out.getvalue()


def _texts(key: str) -> list[dict[str, str]]:
    first, second = (turn["value"] for turn in talk(key)["conversations"])
    return [{"user": first, "assistant": second}]


def parquet_cases() -> list[Case]:
    """Files of one source whose schemas have nothing to do with each other, and files that are broken."""

    def row(key: str, seed: int) -> dict[str, Any]:
        return {"id": key, "images": [{"bytes": whole(seed), "path": None}], "texts": _texts(key)}

    good = table([row("good a", 1000), row("good b", 1001)])
    nulls = [
        {**row("null struct", 1002), "images": [None]},
        {**row("null bytes", 1003), "images": [{"bytes": None, "path": None}]},
        {**row("empty bytes", 1004), "images": [{"bytes": b"", "path": "a.png"}]},
        {**row("no list", 1005), "images": None},
        {**row("no texts", 1006), "texts": None},
        row("whole", 1007),
    ]
    schema = pa.schema(
        [
            ("id", pa.string()),
            ("images", pa.list_(pa.struct([("bytes", pa.binary()), ("path", pa.string())]))),
            ("texts", pa.list_(pa.struct([("user", pa.string()), ("assistant", pa.string())]))),
        ]
    )
    one_image = table([{"id": 7, "image": whole(1008), "text": "A pier at dusk with one small boat."}])
    text_only = table([{"text": "Only a text, no picture.", "score": float("nan")}])
    strange = table([{"a": 1, "b": [b"\0\xff"]}])
    path = table([{"id": "p", "image": "../../etc/passwd", "text": "A path where bytes are expected."}])
    not_utf8 = pa.table({"text": pa.array([b"caf\xe9 at the harbour"], pa.binary()).view(pa.string())})
    bytes_out = io.BytesIO()
    pq.write_table(not_utf8, bytes_out)
    flipped = bytearray(
        table([row(f"flip {i}", 1010 + i) for i in range(4)], row_group_size=2, compression="none")
    )
    at = flipped.index(b"IEND") - 40
    flipped[at] ^= 0x55
    bomb = pa.DictionaryArray.from_arrays(pa.array([0] * 20_000, pa.int32()), pa.array(["word " * 20_000]))
    many = io.BytesIO()
    pq.write_table(pa.table({"blob": bomb}), many)

    def case(title: str, name: str, data: bytes, *reasons: str | None) -> Case:
        file = f"{name}.parquet"
        return Case(
            f"parquet: {title}", "parquets", {file: data}, {(file, i): r for i, r in enumerate(reasons)}
        )

    return [
        case("good", "good", good, None, None),
        case("null structs", "nulls", table(nulls, schema), *["zero_bytes"] * 3, None, "bad_record", None),
        case("one picture column", "image", one_image, None),
        case("text only, with NaN", "text", text_only, None),
        case("unknown columns", "strange", strange, "bad_record"),
        case("path that leads out", "path", path, "path_outside_source"),
        case("text that is not UTF-8", "latin", bytes_out.getvalue(), "bad_record"),
        case("without rows", "empty", table([], schema)),
        case("cut", "cut", good[: len(good) // 2], "unreadable_file"),
        case("zero bytes", "zero", b"", "unreadable_file"),
        case("text named parquet", "fake", b"PAR1 this is not parquet PAR1", "unreadable_file"),
        case("footer of 4 GiB", "footer", b"PAR1" + b"\xff" * 4 + b"PAR1", "unreadable_file"),
        case("flipped byte in a picture", "flip", bytes(flipped), "unreadable_image", None, None, None),
        case("dictionary bomb of 2 GB", "dictionary", many.getvalue(), *["bad_record"] * 671, "too_large"),
    ]


def csv_cases() -> list[Case]:
    """CSV of captions; the picture lies beside it."""

    def case(title: str, name: str, data: bytes, *reasons: str | None) -> Case:
        file = f"{name}.csv"
        return Case(f"csv: {title}", "csvs", {file: data}, {(file, i): r for i, r in enumerate(reasons)})

    def row(key: str) -> bytes:
        return b"%s,good.png,A harbour in the record %s.\n" % (key.encode(), key.encode())

    head = b"id,image,text\n"
    return [
        Case("csv: picture", "csvs", {"good.png": whole(6)}),
        case("good", "good", head + row("c1") + row("c2"), None, None),
        case(
            "quote never closed",
            "open",
            head + row("c3") + b'c4,good.png,"no end\n' + row("c5"),
            None,
            "unreadable_file",
        ),
        case("quote inside a cell", "quote", head + b'c6,good.png,"a" b\n' + row("c7"), "bad_record", None),
        case(
            "cells missing and too many",
            "cells",
            head + b"c8\n" + b"1,2,3,4\n" + row("c9"),
            "bad_record",
            "bad_record",
            None,
        ),
        case("NUL bytes", "nul", head + b"c10,good.png,a\0b is what it says\n" + row("c11"), None, None),
        case("not UTF-8", "latin", head + b"c12,good.png,caf\xe9\n" + row("c13"), "bad_record", None),
        case(
            "line end in a cell",
            "lines",
            head + b'c14,good.png,"two\nlines of text"\n' + row("c15"),
            None,
            None,
        ),
        case("column named twice", "twice", b"id,id,text\n" + row("c16"), "unreadable_file"),
        case("header alone", "head", head),
        case("zero bytes", "zero", b""),
        case("empty caption", "blank", head + b"c17,good.png, \n" + row("c18"), "bad_record", None),
    ]


def folder_cases() -> list[Case]:
    """A folder of pictures, where each file is a row."""
    return [
        Case("folder: good", "folders", {"cat/a.png": whole(7)}, {("cat/a.png", None): None}),
        Case("folder: text named png", "folders", {"cat/b.png": b"?"}, {("cat/b.png", None): "not_an_image"}),
        Case(
            "folder: link that leads out",
            "folders",
            rows={("out.png", None): "unreadable_file"},
            write=lambda folder: (folder / "out.png").symlink_to("/etc/hostname"),
        ),
    ]


#: Sources that cannot be read at all: name -> (what makes them, location, what the error says).
def write_broken(root: Path) -> dict[str, tuple[dict[str, Any], str]]:
    """Folders for sources that fail as a whole; gives for each its YAML's fields and what its error says."""
    import os

    (root / "empty").mkdir(parents=True)
    os.mkfifo(root / "pipe.jsonl")
    (root / "dangling").symlink_to("not there")
    return {
        "gone": ({"location": "../sources/nowhere"}, "no such file or folder"),
        "empty": ({"location": "../broken/empty"}, "there are no files"),
        "pipe": ({"location": "../broken/pipe.jsonl"}, "not a regular file or folder"),
        "dangling": ({"location": "../broken/dangling"}, "no such file or folder"),
        "no_media": ({"location": "../sources/good", "media": "../nowhere"}, "no such file or folder"),
        "private": ({"location": "https://127.0.0.1:9/rows.jsonl"}, "not public"),
        "ftp": ({"location": "ftp://example.com/rows.jsonl"}, "unknown kind of location"),
    }
