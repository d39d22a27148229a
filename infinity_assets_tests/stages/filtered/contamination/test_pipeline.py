"""Benchmarks that come, change and go, through the whole pipeline."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
import yaml

from infinity_assets.orchestration.instance import open_instance
from infinity_assets.orchestration.progress import nobody
from infinity_assets.orchestration.run import run_pipeline
from infinity_assets.platform import Platform
from infinity_assets.settings import Settings
from infinity_assets.stages.benchmark_fingerprints.stage import materialize_benchmark_fingerprints
from infinity_assets.stages.deduped.schema import DEDUPED
from infinity_assets.stages.filtered.contamination import scan
from infinity_assets.stages.filtered.contamination.check import not_compared, to_compare
from infinity_assets.stages.filtered.contamination.kinds import CONTAMINATION
from infinity_assets.stages.filtered.schema import FILTERED
from infinity_assets.stages.filtered.stage import materialize_filtered
from infinity_assets.stages.mixed.schema import MIXED
from infinity_assets.stages.mixed.stage import materialize_mixed
from infinity_assets.stages.publish import CriticalCheckFailed
from infinity_assets.stages.unified.schema import UNIFIED
from infinity_assets_tests.conftest import Site, ingest, jsonl, talk
from infinity_assets_tests.stages.filtered.contamination.leaks import drawing, encoded_again

ASKED = "How many red things stand on the left?"
LONG = (
    "A train leaves the northern station at nine and rides forty miles an hour; when does it pass the bridge,"
    " which lies sixty miles to the south of it?"
)
SECRET = "platypus orchestra"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site whose sources were run before there was any benchmark; both leaks stand in ``photos``."""
    folder = tmp_path_factory.mktemp("leaks")
    site = Site(folder)
    rows = [talk(i, f"{i}.png", question="What is in the picture?") for i in range(1, 4)]
    rows.append(talk("leak", "leak.jpg", question=f"{ASKED} Think before you answer, please."))
    rows.append(talk("words", "4.png", question=f"Solve this. {LONG}"))
    pictures = {f"{i}.png": drawing(i) for i in range(1, 5)} | {"leak.jpg": encoded_again(drawing(9))}
    site.add("photos", {"rows.jsonl": jsonl(rows), **pictures}, stages=["3"])
    site.add("others", {"rows.jsonl": jsonl([talk("a", "a.png")]), "a.png": drawing(30)}, stages=["3"])
    assert run(site).ok
    return folder


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, int]]]:
    """Each comparison that is made: the benchmark and how many samples."""
    made: list[tuple[str, int]] = []
    original = scan.find_contamination

    def counting(batch, benchmark, witness):
        made.append((benchmark.name, batch.rows.num_rows))
        return original(batch, benchmark, witness)

    monkeypatch.setattr(scan, "find_contamination", counting)
    return made


def platform(site: Site) -> Platform:
    (site.catalogue / "mixes.yaml").write_text(yaml.safe_dump({"mixes": {"3": {}}}))
    return Platform(Settings(home=site.folder / "home", catalogue=site.catalogue, workers=1))


def run(site: Site, *names: str):
    opened = platform(site)
    return run_pipeline(opened, names or list(opened.catalogue), nobody)


def add_exam(site: Site, stages: list[str] | None = None) -> None:
    items = [
        talk("q1", "9.png", question=ASKED, answer=f"Three, says the {SECRET}."),
        talk("q2", "10.png", question="What is in the picture?", answer="A house."),
    ]
    files = {"rows.jsonl": jsonl(items), "9.png": drawing(9), "10.png": drawing(10)}
    site.add("exam", files, category="evaluation", stages=stages or [])


def add_quiz(site: Site) -> None:
    """Its picture is gone: only the text of its long question can be recognised."""
    items = [
        talk("z1", "gone.png", question=LONG),
        talk("z2", "gone.png", question="What is in the picture?"),
    ]
    site.add("quiz", {"rows.jsonl": jsonl(items)}, category="evaluation")


def dropped(site: Site) -> dict[str, str]:
    found = platform(site).store.require(FILTERED, "photos")
    rows = pl.DataFrame(pl.from_arrow(found.read(["reason", "detail"], "verdict = 'drop'")))
    return dict(rows.iter_rows())


def test_benchmarks_come_and_go(folder: Path, compared, in_process) -> None:
    """Lost otherwise: a benchmark that leaks until someone remembers, or a night of work for adding one."""
    site = Site(folder)
    assert platform(site).store.published(CONTAMINATION, "photos") is None
    before = platform(site).store.require(FILTERED, "others")

    add_exam(site, stages=["3"])
    assert run(site, "exam").ok
    assert sorted(compared) == [("exam", 1), ("exam", 5)]
    assert list(dropped(site)) == ["contaminated"]
    assert dropped(site)["contaminated"].startswith("the question and picture of exam-")
    after = platform(site).store.require(FILTERED, "others")
    assert (after.version, to_compare(platform(site), "others")) == (before.version, None), "it is clean"

    compared.clear()
    add_quiz(site)
    assert run(site, "quiz").ok
    assert sorted(compared) == [("quiz", 1), ("quiz", 5)], "the other benchmark was compared before"
    assert set(dropped(site)) == {"contaminated", "contaminated_text"}

    compared.clear()
    rows = (site.folder / "sources" / "others" / "rows.jsonl").read_bytes()
    more = rows + jsonl([talk("b", "a.png", question=f"Now: {LONG}")])
    site.add("others", {"rows.jsonl": more}, stages=["3"])
    assert run(site, "others").ok
    assert {name for name, _ in compared} == {"exam", "quiz"}
    assert all(count <= 2 for _, count in compared), "no other source is compared again"

    compared.clear()
    assert run(site).failed == ()
    assert compared == [], "nothing changed"
    mixed = platform(site).store.require(MIXED, "3")
    assert set(mixed.read(["source"])["source"].to_pylist()) == {"photos", "others"}, "no item is trained on"

    (site.catalogue / "exam.yaml").unlink()
    assert run(site, "photos").ok
    assert compared == [], "what is known of the other benchmark stays"
    assert list(dropped(site)) == ["contaminated_text"]
    assert not_compared(platform(site), "photos") == []
    files = [p for p in (folder / "home" / "dagster").rglob("*") if p.is_file()]
    assert [p for p in files if SECRET.encode() in p.read_bytes()] == [], "Dagster's records hold no text"


def test_what_a_contaminated_winner_shadowed_takes_its_place(tmp_path: Path, in_process) -> None:
    """Lost otherwise: clean samples that yielded to a conversation in which a benchmark stands."""
    site = Site(tmp_path)
    clean = {i: talk(f"clean{i}", f"{i}.png", question="Is the sky clear?", answer="It is.") for i in (9, 4)}
    leaks = {9: ASKED, 4: LONG}
    rows = []
    for i, row in clean.items():
        leak = [{"from": "human", "value": leaks[i]}, {"from": "gpt", "value": "I see three."}]
        rows.append(row | {"id": f"leak{i}", "conversations": row["conversations"] + leak})
    pictures = {"4.png": drawing(4), "9.png": drawing(9)}
    site.add("photos", {"rows.jsonl": jsonl([*rows, *clean.values()]), **pictures}, stages=["3"])

    def verdicts(table) -> dict[str, str]:
        store = platform(site).store
        names = store.require(UNIFIED, "photos").read(["sample_id", "native_id"]).to_pylist()
        known = {row["sample_id"]: row["native_id"] for row in names}
        found = store.require(table, "photos").read(["sample_id", "verdict", "reason"]).to_pylist()
        return {known[row["sample_id"]]: row["reason"] or row["verdict"] for row in found}

    assert run(site).ok
    shadowed = {"leak9": "keep", "leak4": "keep", "clean9": "shared_turns", "clean4": "shared_turns"}
    assert verdicts(DEDUPED) == shadowed
    add_exam(site)
    add_quiz(site)
    assert run(site).ok
    assert verdicts(DEDUPED) == dict.fromkeys(shadowed, "keep")
    leaking = {"leak9": "contaminated", "leak4": "contaminated_text"}
    assert verdicts(FILTERED) == leaking | {"clean9": "keep", "clean4": "keep"}
    assert platform(site).store.require(MIXED, "3").notes["lines"] == 2


@pytest.fixture
def ready(tmp_path: Path, in_process) -> Site:
    """``photos`` filtered without benchmarks, by direct calls; ``exam`` is read but not fingerprinted."""
    from infinity_assets.stages.tagged.stage import materialize_tagged
    from infinity_assets_tests.conftest import dedupe

    site = Site(tmp_path)
    files = {"rows.jsonl": jsonl([talk(9, "9.png", question=ASKED), talk(1, "1.png")])}
    site.add("photos", files | {"9.png": drawing(9), "1.png": drawing(1)}, stages=["3"])
    add_exam(site)
    opened = platform(site)
    for name in ("photos", "exam"):
        ingest(opened, name)
    dedupe(opened, "photos")
    materialize_tagged(opened, "photos", "test")
    materialize_filtered(opened, "photos", "test")
    return site


def test_a_mix_made_before_a_benchmark_was_compared_is_refused(ready: Site) -> None:
    """Lost otherwise: a leak in the mix, because the benchmark came after the filters had run."""
    from infinity_assets.stages.exported.stage import materialize_exported

    opened = platform(ready)
    assert materialize_mixed(opened, "3", "test").notes["lines"] == 2
    materialize_benchmark_fingerprints(opened, "exam", "test")
    for attempt in (
        lambda: materialize_mixed(opened, "3", "test"),
        lambda: materialize_exported(opened, "llava", "3", "test"),
    ):
        with pytest.raises(
            CriticalCheckFailed, match=r"photos was not compared with exam .*materialize filtered"
        ):
            attempt()
    materialize_filtered(opened, "photos", "test")
    with pytest.raises(CriticalCheckFailed, match="1 samples of photos"):
        materialize_exported(opened, "llava", "3", "test")  # of the plan that still has the leak
    assert materialize_mixed(opened, "3", "test").notes["lines"] == 1
    result = materialize_exported(opened, "llava", "3", "test")
    assert {c.name: c.passed for c in result.checks}["uncontaminated"]


def test_a_policy_measures_nothing_again(ready: Site, compared) -> None:
    """Lost otherwise: a scan of everything for each change of mind."""
    from infinity_assets.stages.filtered.policy import DEFAULT

    materialize_benchmark_fingerprints(platform(ready), "exam", "test")
    materialize_filtered(platform(ready), "photos", "test")
    assert compared == [("exam", 2)]
    policy = yaml.safe_load(DEFAULT.read_text())
    policy["contamination"]["contaminated"]["action"] = "annotate"
    (ready.folder / "policy.yaml").write_text(yaml.safe_dump(policy))
    lenient = Platform(
        Settings(home=ready.folder / "home", catalogue=ready.catalogue, policy=ready.folder / "policy.yaml")
    )
    result = materialize_filtered(lenient, "photos", "test")
    assert compared == [("exam", 2)]
    assert (result.counts.dropped, result.notes["findings"]["contaminated"]) == (0, 1)
    assert materialize_mixed(lenient, "3", "test").notes["lines"] == 2
    with pytest.raises(CriticalCheckFailed, match="1 samples of photos"):
        materialize_mixed(platform(ready), "3", "test")  # the strict policy, before filtered ran with it


def test_a_source_that_becomes_a_benchmark_leaves_the_exports(ready: Site) -> None:
    """Lost otherwise: an evaluation set that is exported from a plan of yesterday."""
    from infinity_assets.stages.exported.stage import materialize_exported

    opened = platform(ready)
    materialize_mixed(opened, "3", "test")
    path = ready.catalogue / "photos.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"category": "evaluation"}))
    with pytest.raises(CriticalCheckFailed, match="photos is a benchmark itself"):
        materialize_exported(platform(ready), "llava", "3", "test")
    assert materialize_mixed(platform(ready), "3", "test").notes["lines"] == 0


def test_dagster_shows_benchmarks_and_asks_for_what_is_behind(ready: Site) -> None:
    """Lost otherwise: an engineer who adds a benchmark and sees nothing of it."""
    from infinity_assets.definitions import platform_defs

    opened = platform(ready)
    definitions = platform_defs(opened)
    node = definitions.resolve_asset_graph().get(dg.AssetKey("benchmark_fingerprints"))
    assert node.partitions_def.get_partition_keys() == ["exam"]
    with open_instance(opened.settings.home) as instance:
        context = dg.build_sensor_context(instance=instance, definitions=definitions)
        (request,) = definitions.resolve_sensor_def("benchmarks_read").evaluate_tick(context).run_requests
        assert request.partition_key == "exam"
        job = definitions.resolve_job_def("benchmark")
        assert job.execute_in_process(instance=instance, partition_key="exam").success
        tick = definitions.resolve_sensor_def("benchmarks_read").evaluate_tick(context)
        assert not tick.run_requests
        asked = definitions.resolve_sensor_def("converge").evaluate_tick(context).run_requests
        assert [r.partition_key for r in asked] == ["photos"]
