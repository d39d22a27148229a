"""Walking tar archives: nothing lost on good ones, every hostile member told, nothing else harmed."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.readers import tar_members, tar_streams
from infinity_assets.readers.base import Record
from infinity_assets.readers.files import SourceFiles
from infinity_assets.readers.tar_members import samples
from infinity_assets.readers.webdataset import WebDataset, WebDatasetOptions

from .conftest import SourceFilesMaker

Entry = tuple[str, bytes]
GOOD: list[Entry] = [("000.jpg", b"jpeg"), ("000.txt", b"a cat")]
AFTER: list[Entry] = [("999.jpg", b"jpeg"), ("999.txt", b"a dog")]


def tar_of(entries: Sequence[Entry], tar_format: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tar_format) as tar:
        for name, data in entries:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def special(name: str, kind: bytes, target: str = "") -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info.tobuf(tarfile.PAX_FORMAT)


def body(entries: Sequence[Entry]) -> bytes:
    """An archive without its end mark."""
    return tar_of(entries)[: sum(512 + len(d) + -len(d) % 512 for _, d in entries)]


def with_header(mutate: Callable[[bytearray], None], resum: bool = True) -> bytes:
    """One member ``500.jpg`` whose header was tampered with."""
    block = bytearray(body([("500.jpg", b"x" * 512)]))
    mutate(block)
    if resum:
        block[148:156] = b" " * 8
        block[148:156] = b"%06o\0 " % sum(block[:512])
    return bytes(block)


def set_bytes(at: int, value: bytes) -> Callable[[bytearray], None]:
    def change(block: bytearray) -> None:
        block[at : at + len(value)] = value

    return change


def read_all(files: SourceFiles, max_slices: int | None = None) -> list[Record]:
    reader, options = WebDataset(), WebDatasetOptions()
    pieces = list(reader.plan(files, options))
    assert max_slices is None or len(pieces) <= max_slices
    return [record for piece in pieces for record in reader.read(files, piece, options)]


END = bytes(1024)
LONG = "d/" * 600 + "x.jpg"


def name_too_long() -> bytes:
    whole = tar_of([(LONG, b"x")])
    return whole.rstrip(b"\0").ljust(-(-len(whole.rstrip(b"\0")) // 512) * 512, b"\0")


#: id -> (bytes in the middle, reason, word of the detail, whether the members after it still come)
HOSTILE: dict[str, tuple[bytes, str, str, bool]] = {
    "absolute_path": (body([("/etc/passwd.jpg", b"x")]), "bad_member", "absolute", True),
    "drive_letter": (body([("C:/x.jpg", b"x")]), "bad_member", "absolute", True),
    "dot_dot": (body([("../../x.jpg", b"x")]), "bad_member", "'..'", True),
    "dot_dot_inside": (body([("a/../../x.jpg", b"x")]), "bad_member", "'..'", True),
    "dot_dot_backslash": (body([("..\\..\\x.jpg", b"x")]), "bad_member", "'..'", True),
    "backslash": (body([("a\\x.jpg", b"x")]), "bad_member", "backslash", True),
    "control_character": (body([("a\x01.jpg", b"x")]), "bad_member", "control", True),
    "symbolic_link": (special("500.jpg", tarfile.SYMTYPE, "/etc/passwd"), "bad_member", "symbolic", True),
    "hard_link": (special("500.jpg", tarfile.LNKTYPE, "000.jpg"), "bad_member", "hard link", True),
    "character_device": (special("500.jpg", tarfile.CHRTYPE), "bad_member", "character device", True),
    "block_device": (special("500.jpg", tarfile.BLKTYPE), "bad_member", "block device", True),
    "named_pipe": (special("500.jpg", tarfile.FIFOTYPE), "bad_member", "named pipe", True),
    "unknown_type": (with_header(set_bytes(156, b"Z")), "bad_member", "unknown member type", True),
    "no_key": (body([(".hidden", b"x")]), "bad_member", "no key", True),
    "no_suffix": (body([("README", b"x")]), "bad_member", "no key", True),
    "apple_double": (body([("._500.jpg", b"x")]), "bad_member", "no key", True),
    "same_name_twice": (body([("500.jpg", b"x"), ("500.jpg", b"y")]), "bad_member", "comes twice", True),
    "dots_in_keys": (body([("1.5.json", b"{}"), ("1.6.json", b"{}")]), "bad_member", "dots", True),
    "zero_byte_jpg": (body([("500.jpg", b"")]), "bad_member", "no bytes", True),
    "txt_not_utf8": (body([("500.txt", b"\xff\xfe")]), "bad_member", "UTF-8", True),
    "json_broken": (body([("500.json", b'{"a":')]), "bad_json", "500.json", True),
    "json_list": (body([("500.json", b"[1]")]), "bad_record", "not a JSON object", True),
    "bad_conversations": (body([("500.json", b'{"conversations": [1]}')]), "bad_turns", "turn 0", True),
    "member_too_large": (body([("500.jpg", b"x" * 5000)]), "too_large", "5000 bytes", True),
    "json_too_large": (body([("500.json", b" " * 3000)]), "too_large", "3000 bytes", True),
    "sample_too_large": (
        body([(f"500.{i}.jpg", b"x" * 3500) for i in range(3)]),
        "too_large",
        "members of its key",
        True,
    ),
    "too_many_members": (body([(f"500.{i}.txt", b"") for i in range(9)]), "too_large", "more than 8", True),
    "name_too_long": (name_too_long(), "bad_member", "longer", True),
    "wrong_checksum": (with_header(set_bytes(0, b"6"), resum=False), "unreadable_file", "checksum", False),
    "size_not_octal": (with_header(set_bytes(124, b"9")), "unreadable_file", "octal", False),
    "negative_size": (with_header(set_bytes(124, b"\xff")), "unreadable_file", "negative", False),
    "size_past_the_end": (with_header(set_bytes(124, b"00000077777")), "bad_member", "ends inside", False),
    "size_of_8_exabytes": (
        with_header(set_bytes(124, b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff")),
        "bad_member",
        "ends inside",
        False,
    ),
    "garbage": (b"\x17" * 512, "unreadable_file", "header", False),
}


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (
        ("MEMBER_LIMIT", 4096),
        ("TEXT_LIMIT", 2048),
        ("SAMPLE_LIMIT", 8192),
        ("SAMPLE_MEMBERS", 8),
    ):
        monkeypatch.setattr(tar_members, name, value)


@pytest.mark.usefixtures("small_limits")
@pytest.mark.parametrize("packed", [False, True], ids=["tar", "tgz"])
@pytest.mark.parametrize("case", HOSTILE)
def test_one_hostile_member_is_told_and_the_others_go_on(
    case: str, packed: bool, tmp_path: Path, source_files: SourceFilesMaker
) -> None:
    """Else one bad member takes a shard of thousands with it, or slips through unseen."""
    middle, reason, word, goes_on = HOSTILE[case]
    data = body(GOOD) + middle + body(AFTER) + END
    (tmp_path / "a.tar").write_bytes(gzip.compress(data) if packed else data)
    records = read_all(source_files(tmp_path, WebDataset.patterns))

    bad = [r for r in records if r.error is not None]
    assert [r.error.reason for r in bad if r.error] == [reason]
    assert bad[0].error is not None
    assert word in bad[0].error.detail
    assert "a.tar" in bad[0].error.detail
    assert bad[0].locator.offset == len(body(GOOD))
    good = [r.native_id for r in records if r.error is None]
    assert good == (["000", "999"] if goes_on else ["000"])
    assert not any(tmp_path.parent.glob("x.jpg"))


@pytest.mark.parametrize("cut", [1, 100, 511, 512, 513, 1024, 1030, 1536, 2047], ids=str)
@pytest.mark.parametrize("packed", [False, True], ids=["tar", "tgz"])
def test_a_cut_archive_never_passes_for_a_whole_one(
    cut: int, packed: bool, tmp_path: Path, source_files: SourceFilesMaker
) -> None:
    """Else an interrupted download loses its last rows without a trace."""
    data = tar_of(GOOD)[:cut]
    (tmp_path / "a.tgz").write_bytes(gzip.compress(data) if packed else data)
    records = read_all(source_files(tmp_path, WebDataset.patterns))
    assert records[-1].error is not None
    assert records[-1].error.reason in ("bad_member", "unreadable_file")


@pytest.mark.parametrize("cut", [5, 15, 60, -9, -3], ids=str)
def test_a_cut_gzip_never_passes_for_a_whole_one(
    cut: int, tmp_path: Path, source_files: SourceFilesMaker
) -> None:
    """The same for the compressed stream itself, its checksum included."""
    (tmp_path / "a.tgz").write_bytes(gzip.compress(tar_of(GOOD))[:cut])
    records = read_all(source_files(tmp_path, WebDataset.patterns))
    assert records[-1].error is not None
    assert records[-1].error.reason in ("bad_member", "unreadable_file")


@pytest.mark.parametrize("zeros_in_member", [True, False], ids=["in_a_member", "after_the_end"])
def test_a_gzip_bomb_is_stopped(
    zeros_in_member: bool, tmp_path: Path, source_files: SourceFilesMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a file of some kilobytes fills the worker for hours."""
    monkeypatch.setattr(tar_streams, "GZIP_GRACE", 1 << 20)
    data = body([*GOOD, ("1.bin", bytes(8 << 20))]) if zeros_in_member else tar_of(GOOD) + bytes(8 << 20)
    (tmp_path / "a.tgz").write_bytes(gzip.compress(data + END))
    records = read_all(source_files(tmp_path, WebDataset.patterns))
    assert records[0].error is None
    assert records[-1].error is not None
    assert records[-1].error.reason == "too_large"


def test_a_key_that_comes_back_is_told(tmp_path: Path, source_files: SourceFilesMaker) -> None:
    """Else pictures and texts that were packed apart become two half samples that look whole."""
    (tmp_path / "a.tar").write_bytes(tar_of([*GOOD, *AFTER, ("000.json", b"{}")]))
    records = read_all(source_files(tmp_path, WebDataset.patterns), max_slices=1)
    assert [r.error and r.error.reason for r in records] == [None, None, "bad_member"]
    assert records[2].error is not None
    assert "not consecutive" in records[2].error.detail


def test_joined_archives_are_read_to_their_end(tmp_path: Path, source_files: SourceFilesMaker) -> None:
    """``cat a.tar b.tar`` is common; stopping at the first end mark would lose all of b."""
    (tmp_path / "a.tar").write_bytes(tar_of(GOOD) + tar_of(AFTER))
    records = read_all(source_files(tmp_path, WebDataset.patterns))
    assert [(r.native_id, r.error) for r in records] == [("000", None), ("999", None)]


def test_a_failing_disk_is_not_a_bad_archive() -> None:
    """Else an outage of the store would quarantine good rows for ever."""

    class Failing(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > 1024:
                raise OSError("the disk is gone")
            return super().read(size)

    with pytest.raises(OSError, match="the disk is gone"):
        list(samples(Failing(tar_of(GOOD + AFTER))))


names = st.text("abcé中 _-", min_size=1, max_size=140).filter(lambda n: n.strip() == n)
archives = st.lists(
    st.tuples(names, st.sampled_from(["jpg", "txt", "seg.png", "npy"]), st.binary(min_size=1, max_size=1500)),
    max_size=12,
    unique_by=lambda e: e[0],
)


@settings(max_examples=60, deadline=None)
@given(
    archives, st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]), st.booleans()
)
def test_good_archives_read_as_tarfile_reads_them(
    entries: list[tuple[str, str, bytes]], tar_format: int, packed: bool
) -> None:
    """Names, offsets and bytes, whatever the dialect: else pictures get other rows' captions."""
    listed = [(f"f/{name[:40]}{i}.{suffix}", data) for i, (name, suffix, data) in enumerate(entries)]
    data = tar_of(listed, tar_format)
    stream = io.BytesIO(gzip.compress(data) if packed else data)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        expected = [(m.name, m.offset, tar.extractfile(m).read()) for m in tar]  # type: ignore[union-attr]
    found = [(m.name, m.offset, m.data) for sample in samples(stream) for m in sample.members]
    assert found == expected


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 12), st.sampled_from(["jpg", "txt", "json"]), st.binary(max_size=900)),
        max_size=25,
    ),
    st.integers(512, 6000),
    st.integers(1, 5),
    st.integers(0, 3000),
)
def test_slicing_changes_no_record(
    entries: list[tuple[int, str, bytes]], slice_bytes: int, slice_rows: int, cut: int
) -> None:
    """Rows, offsets and errors are the same for any slice size: else ids depend on a tuning constant."""
    from infinity_assets.readers.files import FileEntry

    data = tar_of([(f"{key}.{suffix}", content) for key, suffix, content in entries])
    data = data[: len(data) - cut]
    files = SourceFiles([FileEntry("a.tar", len(data), "0" * 32)], ["*.tar"], lambda _: io.BytesIO(data))
    whole = read_all(files, max_slices=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tar_members, "SLICE_BYTES", slice_bytes)
        patch.setattr(tar_members, "SLICE_ROWS", slice_rows)
        assert read_all(files) == whole
    assert [r.locator.row for r in whole] == list(range(len(whole)))


def test_clean_archives_are_cut_into_slices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else one worker reads a shard of many gigabytes alone."""
    from .conftest import folder_files

    monkeypatch.setattr(tar_members, "SLICE_ROWS", 3)
    (tmp_path / "a.tar").write_bytes(tar_of([(f"{i}.jpg", b"x") for i in range(10)]))
    files = folder_files(tmp_path, WebDataset.patterns)
    pieces = list(WebDataset().plan(files, WebDatasetOptions()))
    assert [p.first_row for p in pieces] == [0, 3, 6, 9]
    assert len({p.content for p in pieces}) == 4
