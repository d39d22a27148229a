"""Sources and stores on an object store behave as on a disk, conflicts included."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from subprocess import PIPE

import dagster as dg
import pytest

from infinity_assets.definitions import platform_defs
from infinity_assets.errors import CommitConflict, SourceError, StoreError
from infinity_assets.settings import Settings
from infinity_assets.sources.roots import ObjectRoot
from infinity_assets.stages.raw.schema import RAW
from infinity_assets.stages.raw.stage import materialize_raw
from infinity_assets.stages.unified.schema import UNIFIED
from infinity_assets.store.tables import Store
from infinity_assets.store.trouble import trouble
from infinity_assets_tests.conftest import Site, dedupe, ingest, jsonl, picture, samples, talk, upload
from infinity_assets_tests.store.test_tables import SPEC, put, things
from infinity_assets_tests.store.weather import Weather, weather


def test_a_source_in_a_bucket_is_read_like_a_folder(bucket: str, site: Site, in_process: list[str]) -> None:
    files = {
        "set/a.jsonl": jsonl([talk(1, "images/one two.png"), talk(2, "images/ü.png"), talk(3, "none.png")]),
        "set/images/one two.png": picture(1),
        "set/images/ü.png": picture(2),
        "set/": b"",
        "set/images/": b"",
        "set2/other.jsonl": jsonl([talk(9)]),
    }
    upload(files)
    site.add("bucket", {}, location=f"{bucket}/set")
    _, unified = ingest(site.platform(), "bucket")
    assert {r["native_id"]: r["reason"] for r in samples(unified)} == {
        "1": None,
        "2": None,
        "3": "missing_image",
    }
    listed = site.platform().store.require(RAW, "bucket").read(["path"]).column(0).to_pylist()
    assert listed == ["a.jsonl", "images/one two.png", "images/ü.png"]
    assert not any(result.committed for result in ingest(site.platform(), "bucket"))
    upload({"set/a.jsonl": jsonl([talk(1, "images/one two.png"), talk(4)])})
    _, unified = ingest(site.platform(), "bucket")
    assert [r["native_id"] for r in samples(unified)] == ["1", "4"]


def test_a_bucket_that_cannot_be_listed_or_has_an_impossible_key_is_told_by_name(
    bucket: str, site: Site
) -> None:
    site.add("gone", {}, location="s3://no-such-bucket/set")
    with pytest.raises(SourceError, match="s3://no-such-bucket/set: cannot be listed"):
        materialize_raw(site.platform(), "gone", "run")
    upload({"set/a.jsonl": jsonl([talk(1)]), "set/a//b.png": picture(1)})
    site.add("odd", {}, location=f"{bucket}/set")
    with pytest.raises(SourceError, match="s3://bucket/set: cannot be listed"):
        materialize_raw(site.platform(), "odd", "run")


def test_a_seekable_reader_of_an_object_gives_any_part_of_it(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infinity_assets.sources.roots.REQUEST_BYTES", 8)
    body = bytes(range(100))
    upload({"set/x.bin": body, "set/empty": b""})
    root = ObjectRoot(f"{bucket}/set")
    with root.open("x.bin") as stream:
        assert stream.read(3) == body[:3] and stream.tell() == 3
        assert stream.seek(-10, 2) == 90 and stream.read() == body[90:]
        assert stream.seek(50) == 50 and stream.seek(5, 1) == 55 and stream.read(30) == body[55:85]
        assert stream.seek(0) == 0 and stream.read() == body and stream.read() == b""
    with root.open("empty") as stream:
        assert stream.read() == b""
    with pytest.raises(SourceError, match=r"none\.bin"):
        root.open("none.bin")
    assert root.stat("none.bin").error


def test_one_object_a_glob_and_an_empty_prefix(bucket: str, site: Site, in_process: list[str]) -> None:
    upload({"set/a.jsonl": jsonl([talk(1)]), "set/b.jsonl": jsonl([talk(2)]), "set/c.txt": b"x"})
    site.add("one", {}, location=f"{bucket}/set/b.jsonl")
    site.add("some", {}, location=f"{bucket}/set/*.jsonl")
    site.add("none", {}, location=f"{bucket}/empty")
    assert [r["native_id"] for r in samples(ingest(site.platform(), "one")[1])] == ["2"]
    assert [r["native_id"] for r in samples(ingest(site.platform(), "some")[1])] == ["1", "2"]
    with pytest.raises(SourceError, match="there are no files at s3://bucket/empty"):
        materialize_raw(site.platform(), "none", "run")


def test_a_store_in_a_bucket_publishes_reads_back_and_refuses_the_second_of_two(bucket: str) -> None:
    root = f"{bucket}/tables"
    late = Store(root).begin(SPEC, "part")
    with pytest.raises(StoreError, match="never published"):
        Store(root).require(SPEC, "part")
    shard = late.stage("late", things("l"))
    winner, new = put(Store(root), "ab", "c", run_id="winner")
    assert new
    with pytest.raises(CommitConflict, match="another run published it"):
        late.commit([shard], run_id="late", inputs={})
    held = Store(root).require(SPEC, "part")
    assert held == winner and held.read().column("key").to_pylist() == ["a", "b", "c"]
    assert held.read_shard(held.shards[0], ["key"]).column("key").to_pylist() == ["a", "b"]
    again, new = put(Store(root), "cab", run_id="again")
    assert not new and again.version == winner.version
    assert Store(root).partitions(SPEC) == ["part"] and Store(root).objects.children("_staging") == []


def test_two_writers_that_pass_every_look_before_the_commit_still_collide(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = f"{bucket}/tables"
    attempts = [Store(root).begin(SPEC, "part") for _ in range(2)]
    shards = [attempt.stage(key, things(key)) for attempt, key in zip(attempts, "ab", strict=True)]
    attempts[0].commit([shards[0]], run_id="first", inputs={})
    monkeypatch.setattr(attempts[1], "_assert_unmoved", lambda: None)
    with pytest.raises(CommitConflict):
        attempts[1].commit([shards[1]], run_id="second", inputs={})
    assert Store(root).require(SPEC, "part").run_id == "first"


def test_the_line_from_files_to_verdicts_runs_on_a_bucket_and_gives_what_a_disk_gives(
    bucket: str, site: Site, in_process: list[str]
) -> None:
    site.add("src", {"a.jsonl": jsonl([talk(1, "1.png"), talk(1, "1.png"), talk(2)]), "1.png": picture(1)})
    found = []
    for store in (f"{bucket}/root", "store"):
        platform = site.platform(store)
        assert Settings(store=f"{bucket}/root").store_root == f"{bucket}/root"
        ingest(platform, "src")
        result = dedupe(platform, "src")
        assert result.counts.dropped == 1
        unified = platform.store.require(UNIFIED, "src")
        found.append((unified.data_version, result.published.data_version))
        assert not any(r.committed for r in ingest(site.platform(store), "src"))
    assert found[0] == found[1]


WRITER = """
import sys
from infinity_assets.errors import CommitConflict
from infinity_assets.store.tables import Store
from infinity_assets_tests.store.test_tables import SPEC, things
root, name = sys.argv[1:]
for turn in range(6):
    sys.stdin.readline()  # both begin at once
    transaction = Store(root).begin(SPEC, "part")
    groups = [f"{name}{turn}{k}" for k in range(3)]
    shards = [transaction.stage(group, things(*(group + c for c in "xyz"))) for group in groups]
    try:
        published, _ = transaction.commit(shards, run_id=f"{name}{turn}", inputs={})
        print("published", published.version, flush=True)
    except CommitConflict:
        print("refused", 0, flush=True)
"""


def test_two_processes_that_write_one_source_are_never_interleaved(bucket: str) -> None:
    """Lost otherwise: a table with rows of two runs, or one that both believe to have published."""
    root = f"{bucket}/tables"
    writers = {
        name: subprocess.Popen(
            [sys.executable, "-c", WRITER, root, name], stdin=PIPE, stdout=PIPE, text=True, bufsize=1
        )
        for name in ("a", "b")
    }
    published: dict[int, str] = {}
    for turn in range(6):
        for process in writers.values():
            assert process.stdin is not None
            process.stdin.write("\n")
        said = {}
        for name, process in writers.items():
            assert process.stdout is not None
            said[name] = process.stdout.readline().split()
        won = {int(version): f"{name}{turn}" for name, (word, version) in said.items() if word == "published"}
        assert len(won) == sum(word == "published" for word, _ in said.values()), "one version each"
        assert won and not set(won) & set(published), "at least one gets through, with a version of its own"
        published |= won
        held = Store(root).require(SPEC, "part")
        assert held.run_id == won[max(won)]
        keys = held.read().column("key").to_pylist()
        assert keys == [f"{held.run_id}{k}{c}" for k in range(3) for c in "xyz"]
    assert [process.wait(30) for process in writers.values()] == [0, 0]
    for version, run_id in published.items():
        past = Store(root).past(SPEC, "part", version)
        assert past is not None and past.run_id == run_id
        assert {key[:2] for key in past.read().column("key").to_pylist()} == {run_id}


@pytest.fixture
def stormy(bucket: str, object_store: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Weather]]:
    """A bucket behind a proxy that can refuse."""
    with weather(object_store) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT", proxy.url)
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        yield bucket, proxy
        proxy.refuse(0, 200, "", "")
        monkeypatch.setenv("AWS_ENDPOINT_URL", object_store)


def test_a_store_that_throttles_is_asked_again_and_nothing_is_published_twice(
    stormy: tuple[str, Weather],
) -> None:
    bucket, proxy = stormy
    root = f"{bucket}/tables"
    put(Store(root), "a")
    for turn in range(3):
        proxy.refuse(3, 503, "SlowDown", "Please reduce your request rate.")
        _, new = put(Store(root), "bcd"[turn])
        assert new and proxy.refused == 3
    assert Store(root).require(SPEC, "part").read().column("key").to_pylist() == ["d"]


@pytest.mark.parametrize("status", [400, 403])
def test_expired_credentials_are_told_in_one_line_and_leave_nothing_half_written(
    stormy: tuple[str, Weather], site: Site, in_process: list[str], status: int
) -> None:
    """Lost otherwise: a page of Rust's debugging output, and the question what is published now."""
    bucket, proxy = stormy
    site.add("src", {"a.jsonl": jsonl([talk(1)])})
    platform = site.platform(f"{bucket}/root")
    materialize_raw(platform, "src", "run")
    before = platform.store.require(RAW, "src")
    site.add("src", {"a.jsonl": jsonl([talk(1), talk(2)])})
    definitions = platform_defs(platform)
    job = definitions.resolve_job_def("ingest")
    with dg.DagsterInstance.ephemeral() as instance:
        proxy.refuse(10**6, status, "ExpiredToken", "The provided token has expired.")
        failed = job.execute_in_process(partition_key="src", instance=instance, raise_on_error=False)
        (event,) = [e for e in failed.all_events if e.event_type is dg.DagsterEventType.STEP_FAILURE][:1]
        said = event.step_failure_data.error.message if event.step_failure_data.error else ""
        assert "refuses the credentials (ExpiredToken: The provided token has expired.); renew them" in said
        proxy.refuse(0, 200, "", "")
        assert platform.store.require(RAW, "src") == before
        assert job.execute_in_process(partition_key="src", instance=instance).success
    assert platform.store.require(UNIFIED, "src").rows == 2


def test_what_an_answer_means() -> None:
    assert trouble(OSError("no such file")) is None
    said = {
        code: str(trouble(OSError(f"... <Code>{code}</Code><Message>m</Message>")))
        for code in ("AccessDenied", "SlowDown", "NoSuchBucket")
    }
    assert "refuses the credentials" in said["AccessDenied"]
    assert "slow down" in said["SlowDown"]
    assert "refused a request (NoSuchBucket: m)" in said["NoSuchBucket"]
