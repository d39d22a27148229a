"""What the tests of the pipeline share: a small site, its sources rendered in code, and ways to run it."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from infinity_assets.platform import Platform
from infinity_assets.settings import Settings
from infinity_assets.sharding.plan import Plan
from infinity_assets.sharding.pool import close_pools
from infinity_assets.sharding.worker import run_task
from infinity_assets.stages.deduped.stage import materialize_deduped
from infinity_assets.stages.duplicate_ledger.stage import materialize_duplicate_ledger
from infinity_assets.stages.publish import StageResult
from infinity_assets.stages.raw.stage import materialize_raw
from infinity_assets.stages.unified.stage import materialize_unified

#: Great Expectations takes 3 s to load and 4 ms for each expectation, of thousands of small tables. Both
#: are held equal in quality/engines, and orchestration/test_contracts.py runs the pipeline with the default.
os.environ.setdefault("INFINITY_CONTRACTS", "arrow")

Row = dict[str, Any]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """In CI everything that a test needs is installed: there a skipped test is a failure."""
    outcome = yield
    report: pytest.TestReport = outcome.get_result()
    if report.skipped and os.environ.get("CI") == "true":
        report.outcome = "failed"
        report.longrepr = f"skipped in CI: {report.longrepr}"


#: True in a worker that was spawned and in the server that workers are forked from, nowhere else.
IF_WORKER = """
import sys
if "--multiprocessing-fork" in sys.orig_argv or "multiprocessing.forkserver" in str(sys.orig_argv):
"""


def end_workers() -> None:
    """End all workers and the server that forks them: the next ones see the environment as it is then."""
    close_pools()
    forkserver._forkserver._stop()  # type: ignore[attr-defined]


def picture(seed: int, *, note: str = "", kind: str = "png") -> bytes:
    """A small picture of its own for each seed; ``note`` goes into a PNG text chunk."""
    pixels = np.random.default_rng(seed).integers(0, 255, (24, 32, 3), dtype=np.uint8)
    out, info = io.BytesIO(), PngInfo()
    if note:
        info.add_text("note", note)
    Image.fromarray(pixels).save(out, kind, **({"pnginfo": info} if kind == "png" else {}))
    return out.getvalue()


def talk(key: Any, *images: str, question: str | None = None, answer: str | None = None) -> Row:
    """A LLaVA row about some pictures by path."""
    asked = question or f"What is to be seen in number {key} of this series?"
    row: Row = {
        "id": str(key),
        "conversations": [
            {"from": "human", "value": "<image>\n" * len(images) + asked},
            {"from": "gpt", "value": answer or f"A field of coloured dots, the one with number {key}."},
        ],
    }
    if images:
        row["image"] = images[0] if len(images) == 1 else list(images)
    return row


def jsonl(rows: Sequence[Any]) -> bytes:
    """Rows as JSON Lines; a bytes value is a line as it stands."""
    lines = (row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows)
    return b"".join(line + b"\n" for line in lines)


def parquet(rows: Sequence[tuple[Row, Sequence[bytes]]], group: int = 2) -> bytes:
    """LLaVA-like rows with their pictures inside, in row groups of ``group`` rows."""
    table = pa.table(
        {
            "id": [row["id"] for row, _ in rows],
            "images": [[{"bytes": data, "path": None} for data in pictures] for _, pictures in rows],
            "texts": [
                [
                    {
                        "user": row["conversations"][0]["value"].replace("<image>\n", ""),
                        "assistant": row["conversations"][1]["value"],
                    }
                ]
                for row, _ in rows
            ],
        }
    )
    out = io.BytesIO()
    pq.write_table(table, out, row_group_size=group)
    return out.getvalue()


@dataclass(frozen=True)
class Site:
    """A catalogue with its sources in one folder, and as many stores as a test asks for."""

    folder: Path

    def add(
        self,
        name: str,
        files: Mapping[str, bytes],
        *,
        reader: str | Row = "llava",
        category: str = "general",
        **more: Any,
    ) -> Path:
        """Write a source and its catalogue file; gives the source's folder."""
        home = self.folder / "sources" / name
        for path, data in files.items():
            (home / path).parent.mkdir(parents=True, exist_ok=True)
            (home / path).write_bytes(data)
        spec = {
            "name": name,
            "category": category,
            "licence": {"id": "CC-BY-4.0"},
            "language": "en",
            "location": f"../sources/{name}",
            "reader": {"format": reader} if isinstance(reader, str) else reader,
            **more,
        }
        self.catalogue.mkdir(parents=True, exist_ok=True)
        (self.catalogue / f"{name}.yaml").write_text(yaml.safe_dump(spec))
        return home

    @property
    def catalogue(self) -> Path:
        """Folder of the catalogue files."""
        return self.folder / "catalogue"

    def platform(self, store: str = "store", workers: int = 1) -> Platform:
        """The site as it is now, with a store of its own for each name."""
        root = store if "://" in store else str(self.folder / store)
        return Platform(
            Settings(home=self.folder / "home", catalogue=self.catalogue, store=root, workers=workers)
        )


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """An empty site."""
    return Site(tmp_path)


@pytest.fixture(scope="session")
def object_store() -> Iterator[str]:
    """The address of an object store of these tests' own."""
    moto = pytest.importorskip(
        "moto.server", reason="moto[server], of the extra 'dev', is not installed", exc_type=ImportError
    )
    server = moto.ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(object_store: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty bucket; what a deployment would set stands in the environment."""
    import boto3

    for name, value in bucket_environment(object_store).items():
        monkeypatch.setenv(name, value)
    s3 = boto3.resource("s3").create_bucket(Bucket="bucket")
    yield "s3://bucket"
    s3.objects.all().delete()
    s3.delete()


def bucket_environment(address: str) -> dict[str, str]:
    """What a deployment sets to reach an object store."""
    return {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT": address,
        "AWS_ENDPOINT_URL": address,
        "AWS_ALLOW_HTTP": "true",
    }


def upload(files: Mapping[str, bytes]) -> None:
    """Put objects into the bucket, by key."""
    import boto3

    client = boto3.client("s3")
    for key, data in files.items():
        client.put_object(Bucket="bucket", Key=key, Body=data)


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Shards run in this process, one after another; the list tells the kind of each that ran."""
    ran: list[str] = []

    def run(root: str, plan: Plan, **_: Any) -> None:
        for task in plan.tasks:
            ran.append(task.kind)
            run_task(root, task)

    monkeypatch.setattr("infinity_assets.stages.unified.stage.run_plan", run)
    return ran


@pytest.fixture
def in_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Path]]:
    """``in_workers(code)``: fresh worker processes run this code before anything else; gives its folder.

    Further modules can lie there for this code to import; afterwards a worker's path is its parent's.
    """
    folder = tmp_path / "in_workers"
    folder.mkdir()

    def install(code: str) -> Path:
        body = "".join(f"    {line}\n" for line in code.strip().splitlines())
        guard = 'import sys\nif "multiprocessing.forkserver" in " ".join(sys.orig_argv):\n'
        (folder / "sitecustomize.py").write_text(guard + body)
        close_pools()
        monkeypatch.setenv("PYTHONPATH", str(folder))
        return folder

    yield install
    close_pools()


def ingest(platform: Platform, name: str, run_id: str = "test") -> tuple[StageResult, StageResult]:
    """raw, images and unified of a source; gives the latter two."""
    materialize_raw(platform, name, run_id)
    return materialize_unified(platform, name, run_id)


def dedupe(platform: Platform, name: str) -> StageResult:
    """The ledger for a source, then its verdicts."""
    materialize_duplicate_ledger(platform, name, "test")
    return materialize_deduped(platform, name, "test")


def samples(result: StageResult, *columns: str) -> list[Row]:
    """Rows of what a stage published, in source order."""
    rows: list[Row] = result.published.read(list(columns) or None).to_pylist()
    return rows
