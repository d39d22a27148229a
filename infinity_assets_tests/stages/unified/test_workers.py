"""Real worker processes: decoders that die, pictures shared by many rows, runs killed midway."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import tarfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import blake3
import pytest

from infinity_assets.stages.images.schema import IMAGES
from infinity_assets.stages.raw.stage import materialize_raw
from infinity_assets.stages.unified.schema import UNIFIED
from infinity_assets_tests.conftest import Site, ingest, jsonl, parquet, picture, samples, talk

#: Counts every decode by the picture's hash; a picture that says so kills its decoder.
DECODES = """
import os, blake3
import infinity_assets.stages.images.measure as measure
real = measure.decode
def decode(data, header):
    with open(os.environ["DECODED"], "a") as log:
        log.write(blake3.blake3(data).hexdigest(length=16) + "\\n")
    if b"kill the decoder" in data:
        os._exit(11)
    return real(data, header)
measure.decode = decode
"""

#: Counts every shard, and kills the whole run when it is the one that the environment names.
SHARDS = """
import os, signal
import infinity_assets.sharding.worker as worker
real = worker.run_task
def run_task(root, task):
    real(root, task)
    with open(os.environ["RAN"], "a") as log:
        log.write(f"{task.kind} {task.key}\\n")
    with open(os.environ["RAN"]) as log:
        if len(log.readlines()) == int(os.environ.get("KILL_AFTER", 0)):
            os.killpg(int(os.environ["GROUP"]), signal.SIGKILL)
worker.run_task = run_task
"""


def image_id(data: bytes) -> str:
    return blake3.blake3(data).hexdigest(length=16)


def webdataset(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def test_each_picture_is_decoded_once_and_one_that_kills_its_decoder_is_set_aside_alone(
    site: Site, in_workers: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    log = tmp_path / "decoded"
    monkeypatch.setenv("DECODED", str(log))
    monkeypatch.setattr("infinity_assets.readers.json_rows.SLICE_BYTES", 600)
    in_workers(DECODES)
    killer = picture(99, note="kill the decoder")
    files = {f"images/{i}.png": picture(i) for i in range(4)} | {"images/copy.png": picture(0)}
    rows = [talk(i, f"images/{i % 4}.png", "images/copy.png") for i in range(10)]
    site.add("paths", {"a.jsonl": jsonl([*rows, talk("x", "images/k.png")]), "images/k.png": killer} | files)
    inside = [(talk(i, "x"), [picture(i % 3), picture(0)]) for i in range(6)]
    monkeypatch.setattr("infinity_assets.readers.parquet_rows.SLICE_ROWS", 2)
    site.add("inside", {"a.parquet": parquet(inside)}, reader="parquet_images")

    images, unified = ingest(site.platform(), "inside")
    assert Counter(log.read_text().split()) == {image_id(picture(i)): 1 for i in range(3)}
    assert unified.counts.kept == 6

    log.write_text("")
    images, unified = ingest(site.platform(), "paths")
    decoded = Counter(log.read_text().split())
    assert decoded.keys() == {image_id(killer), *(image_id(picture(i)) for i in range(4))}
    bad = [row for row in samples(images, "image_id", "reason", "detail", "width") if row["reason"]]
    assert [(row["image_id"], row["reason"], row["width"]) for row in bad] == [
        (image_id(killer), "decoder_died", None)
    ]
    assert "exit code 11" in bad[0]["detail"]
    assert images.counts.kept == 4 and unified.counts.kept == 10
    assert unified.counts.reasons == {"decoder_died": 1}

    log.write_text("")
    assert not any(result.committed for result in ingest(site.platform(), "paths"))
    assert log.read_text() == "", "a picture that killed its decoder is not tried on every run"


RUN = """
import os
from pathlib import Path
from infinity_assets_tests.conftest import Site
from infinity_assets.stages.unified.stage import materialize_unified
import infinity_assets.readers.json_rows as json_rows, infinity_assets.stages.images.plan as plan
json_rows.SLICE_BYTES, plan.SHARD_IMAGES = 1400, 2
os.environ["GROUP"] = str(os.getpgid(0))
if __name__ == "__main__":
    materialize_unified(Site(Path({folder!r})).platform(), "killed", "child")
"""


def test_a_run_killed_midway_loses_only_the_shards_that_it_was_at(
    site: Site, in_workers: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    log = tmp_path / "ran"
    folder = in_workers(SHARDS)
    rows = [talk(i, f"{i}.png") for i in range(12)]
    site.add("killed", {"a.jsonl": jsonl(rows)} | {f"{i}.png": picture(i) for i in range(12)})
    materialize_raw(site.platform(), "killed", "first")
    script = tmp_path / "run.py"
    script.write_text(RUN.format(folder=str(site.folder)))
    repository = str(Path(__file__).resolve().parents[3])
    environment = os.environ | {"RAN": str(log), "PYTHONPATH": f"{folder}:{repository}"}

    def run(kill_after: int) -> int:
        child = subprocess.run(
            [sys.executable, str(script)],
            env=environment | {"KILL_AFTER": str(kill_after)},
            start_new_session=True,
            check=False,
        )
        return child.returncode

    assert run(kill_after=6) == -signal.SIGKILL
    before = log.read_text().splitlines()
    assert len(before) >= 6 and {line.split()[0] for line in before} == {"draft", "images"}
    assert site.platform().store.published(UNIFIED, "killed") is None, "nothing is visible of a killed run"
    assert run(kill_after=0) == 0
    after = log.read_text().splitlines()[len(before) :]
    assert after and not set(before) & set(after), "a staged shard was run again"
    monkeypatch.setattr("infinity_assets.readers.json_rows.SLICE_BYTES", 1400)
    monkeypatch.setenv("RAN", str(log))
    ingest(site.platform("undisturbed"), "killed")
    for table in (IMAGES, UNIFIED):
        versions = {
            site.platform(store).store.require(table, "killed").data_version
            for store in ("store", "undisturbed")
        }
        assert len(versions) == 1
    left = [
        p for kind in ("_drafts", "_plans", "_staging") for p in (site.folder / "store" / kind).rglob("*.*")
    ]
    assert not left, "drafts, plans and records outlive their use"


TWO = """
import sys, time
from pathlib import Path
from infinity_assets_tests.conftest import Site
from infinity_assets.errors import InfinityError
from infinity_assets.stages.unified.stage import _Work
if __name__ == "__main__":
    platform = Site(Path({folder!r})).platform()
    work = _Work(platform, platform.catalogue["raced"], sys.argv[1], None)
    Path(sys.argv[2], sys.argv[1]).touch()
    while len(list(Path(sys.argv[2]).iterdir())) < 2:
        time.sleep(0.01)
    try:
        work.run()
        print("won")
    except InfinityError as error:
        print(type(error).__name__, error)
"""


def test_of_two_runs_of_one_source_at_once_one_wins_and_the_other_says_so(site: Site, tmp_path: Path) -> None:
    site.add(
        "raced",
        {"a.jsonl": jsonl([talk(i, f"{i}.png") for i in range(3)])}
        | {f"{i}.png": picture(i) for i in range(3)},
    )
    materialize_raw(site.platform(), "raced", "first")
    script, barrier = tmp_path / "two.py", tmp_path / "barrier"
    script.write_text(TWO.format(folder=str(site.folder)))
    barrier.mkdir()
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[3])}
    children = [
        subprocess.Popen(
            [sys.executable, str(script), name, str(barrier)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in ("one", "two")
    ]
    outputs = [child.communicate(timeout=120) for child in children]
    said = sorted(out.strip() for out, _ in outputs)
    assert said[1] == "won", "".join(err for _, err in outputs)
    assert said[0].startswith("CommitConflict") and "another run published it" in said[0], (
        outputs[0][1] + outputs[1][1]
    )
    winner = ["one", "two"][[out.strip() for out, _ in outputs].index("won")]
    held = site.platform().store
    assert held.require(UNIFIED, "raced").run_id == held.require(IMAGES, "raced").run_id == winner
    assert not any(result.committed for result in ingest(site.platform(), "raced"))
