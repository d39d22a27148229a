"""Synthesis with the real thing: Dagster, vLLM in its own environment, and a toy model that knows colours.

Without it, every part may work and the whole write nothing that is true, or pay for it twice.
"""

from __future__ import annotations

import base64
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest
import yaml
from blake3 import blake3

from infinity_assets.definitions import platform_defs
from infinity_assets.models.vlm.cache import ReplyCache
from infinity_assets.models.vlm.fake import FakeServer
from infinity_assets.models.vlm.server import LocalServer, vllm_server
from infinity_assets.platform import Platform
from infinity_assets.stages.scored.stage import materialize_scored
from infinity_assets.stages.synthesized.prompt_files import load_prompts
from infinity_assets.stages.synthesized.schema import SYNTHESIS_QA, SYNTHESIZED
from infinity_assets_tests.conftest import Row, Site, jsonl, talk
from infinity_assets_tests.models.toy_vlm import drawings
from infinity_assets_tests.models.toy_vlm.serving import ARGUMENTS, MODEL, toy_config, vllm_python
from infinity_assets_tests.processes import children
from infinity_assets_tests.stages.synthesized.talking import asked, policy, step_of, tagged

pytestmark = pytest.mark.timeout(600)

PROMPTS = MODEL.parent / "prompts"
PICTURES = 60
LINES = 2 * PICTURES
#: Every line is asked for a question, a verdict on it, an answer and a score; a kept one also for its loss.
LEAST = 4 * LINES

#: Materializes the assets in a process of its own, which can be killed.
STEP = """
import sys
from pathlib import Path
import dagster as dg
from infinity_assets.definitions import platform_defs
from infinity_assets.platform import Platform
from infinity_assets.settings import Settings
folder = Path(sys.argv[1])
root = str(folder / "store")
settings = Settings(home=folder / "home", catalogue=folder / "catalogue", store=root, workers=1)
job = platform_defs(Platform(settings)).resolve_job_def("synthesize")
job.execute_in_process(partition_key=sys.argv[2], instance=dg.DagsterInstance.ephemeral())
"""


@dataclass(frozen=True)
class Drawn:
    """A source of drawings, and what is true of each picture."""

    site: Site
    truth: dict[str, dict[str, str]]  #: by image id: colour of each subject

    def kept(self) -> int:
        """Replies that are kept by now."""
        return len(ReplyCache(self.site.platform().store.objects))

    def right(self, row: Row) -> bool:
        """Whether the answer of a line names the true colour and no other."""
        said = set(re.findall(r"[a-z]+", row["answer"].lower())) & set(drawings.COLOURS)
        return said == {self.truth[row["image_id"]][row["instruction_l3"]]}

    def rows(self, source: str) -> list[Row]:
        """The published lines."""
        rows: list[Row] = self.site.platform().store.require(SYNTHESIS_QA, source).read().to_pylist()
        return rows


def engines(site: Site, **by_name: Row) -> None:
    (site.catalogue / "engines.yaml").write_text(yaml.safe_dump({"engines": by_name}))


def elsewhere(url: str) -> Row:
    """The toy model on a server that somebody else runs."""
    config = toy_config()
    return {"engine": "openai", "url": url, "model": config.model, "revision": config.revision}


def own() -> Row:
    """The toy model on a server that the step starts and stops; an hour costs 3,600, so a second costs 1."""
    config: Row = toy_config().model_dump(mode="json", exclude={"url", "prices"})
    return config | {"prices": {"per_hour": 3600.0}}


def materialize(platform: Platform, source: str, instance: dg.DagsterInstance) -> dict[str, object]:
    """The assets of synthesis and what filters them, through Dagster; gives the metadata of the lines."""
    job = platform_defs(platform).resolve_job_def("synthesize")
    assert job.execute_in_process(partition_key=source, instance=instance).success
    where = dg.AssetRecordsFilter(dg.AssetKey("synthesis_qa"), asset_partitions=[source])
    event = instance.fetch_materializations(where, limit=1).records[0].asset_materialization
    assert event is not None
    return {name: value.value for name, value in event.metadata.items()}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    """A server that outlives the steps that ask it."""
    log = tmp_path_factory.mktemp("vllm") / "vllm.log"
    with vllm_server(vllm_python(), str(MODEL), log, ARGUMENTS) as running:
        yield running


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Drawn:
    """Two sources of the same pictures, read and tagged: ``drawings`` and ``lies``."""
    site, rng, truth = Site(tmp_path_factory.mktemp("site")), random.Random(20241024), {}
    for name in ("drawings", "lies"):
        rows, files = [], {}
        for number in range(PICTURES):
            drawing = drawings.draw(rng)
            files[f"{number}.png"] = drawing.png()
            truth[blake3(files[f"{number}.png"]).hexdigest(length=16)] = drawing.colours
            rows.append(talk(number, f"{number}.png"))
        site.add(name, {"rows.jsonl": jsonl(rows), **files}, stages=["4"])
        tagged(site.platform(), name)
    return Drawn(site, truth)


def toy_policy(site: Site, **more: object) -> None:
    usual = {"prompts": str(PROMPTS), "leaves": ["background", "shape"], "sampling": {"temperature": 0.0}}
    policy(
        site, **(usual | {"loss_cut": 99.0, "loss_cut_ocr": 99.0, "scorer": "toy", "engine": "toy"} | more)
    )


def test_the_toy_is_asked_what_it_was_trained_on():
    """A word more, and it answers something else."""
    prompts = load_prompts("en", PROMPTS)
    words = {"leaf": "shape", "question": "Q?", "answer": "A"}
    assert prompts["question"].fill(words) == drawings.ask_prompt("shape")
    assert prompts["judge"].fill(words) == drawings.judge_prompt("Q?", "A")
    for style in (prompts["answer"].styles or {}).values():
        assert prompts["answer"].fill(words | {"style": style}) == drawings.answer_prompt("Q?", style)
    schemas = {step: prompts[step].schema_ for step in ("question", "answer", "judge")}
    wanted = (drawings.ASK_SCHEMA, drawings.ANSWER_SCHEMA, drawings.JUDGE_SCHEMA)
    assert tuple(schemas.values()) == wanted


def test_killed_step_and_killed_server_lose_nothing_and_what_is_written_is_true(drawn, server):
    site = drawn.site
    toy_policy(site)
    engines(site, toy=elsewhere(server.url))
    step = subprocess.Popen(
        [sys.executable, "-c", STEP, str(site.folder), "drawings"], stderr=subprocess.PIPE
    )
    while step.poll() is None and drawn.kept() < LEAST // 4:
        time.sleep(0.02)
    step.send_signal(signal.SIGKILL)
    assert step.wait() == -signal.SIGKILL, step.stderr and step.stderr.read().decode()[-2000:]
    kept = drawn.kept()
    assert kept >= LEAST // 4
    assert site.platform().store.published(SYNTHESIS_QA, "drawings") is None

    engines(site, toy=own())
    platform, killed = site.platform(), []
    log = platform.settings.home / "logs" / "toy" / "vllm.log"

    def kill() -> None:
        while drawn.kept() < LEAST * 5 // 8:
            time.sleep(0.05)
        killed.append(kill_server_of(os.getpid(), server))

    killer = threading.Thread(target=kill)
    killer.start()
    with dg.DagsterInstance.ephemeral() as instance:
        told = materialize(platform, "drawings", instance)
        killer.join()
        assert killed and log.read_text().count("the server ended with") >= 1, "it was killed in the middle"
        rows = drawn.rows("drawings")
        hashes = {request for row in rows for request in row["requests"]}
        assert told["requests_of_this_run"] == len(hashes) - kept, "what was kept is not paid again"
        assert drawn.kept() == len(hashes), "nothing that was paid is lost"
        assert 0 < told["cost_of_this_run"] <= told["cost"] and told["cost_per_kept_line"] > 0

        check_truth(drawn, rows)
        talks = platform.store.require(SYNTHESIZED, "drawings").read().to_pylist()
        assert sum(len(talk["line_ids"]) for talk in talks) == told["kept"]

        # Another threshold has all verdicts made anew: no server is started for it, and nothing is asked.
        started = log.stat().st_size
        toy_policy(site, keep_score=9)
        strict = materialize(site.platform(), "drawings", instance)
        assert strict["requests_of_this_run"] == 0 and strict["cost_of_this_run"] == 0
        assert strict["data_version"] == told["data_version"], "the toy scores 1 or 10"
        assert strict["cost"] == pytest.approx(told["cost"]), "told at the first price"
        assert log.stat().st_size == started


def check_truth(drawn: Drawn, rows: list[Row]) -> None:
    assert len(rows) == LINES
    valid = [row for row in rows if row["problem_step"] != "question"]
    assert len(valid) >= 0.99 * LINES
    sensible = [row for row in valid if row["question"] in drawings.questions(row["instruction_l3"])]
    assert len(sensible) >= 0.99 * LINES
    answered = [row for row in sensible if row["answer"] is not None]
    right = [row for row in answered if drawn.right(row)]
    print(f"{len(valid)} of {LINES} valid, {len(right)} of {len(answered)} right")
    assert len(right) >= 0.85 * len(answered) and len(answered) >= 0.9 * LINES
    accepted = [row for row in right if row["verdict"] == "keep"]
    print(f"{len(accepted)} of {len(right)} right ones accepted")
    assert len(accepted) >= 0.8 * len(right), "the judge refuses what is true"
    assert all(row["loss"] is not None for row in accepted)
    assert {row["style"] for row in accepted} == {"short", "brief", "detailed"}


def kill_server_of(pid: int, spared: LocalServer) -> int:
    """End the server that a process started last, as a crash would; gives its process."""
    keepers = [child for child in children(pid) if child != spared.pid]
    for keeper in keepers:
        if b"vllm.entrypoints" in Path(f"/proc/{keeper}/cmdline").read_bytes():
            victim = children(keeper)[0]
            os.kill(victim, signal.SIGKILL)
            return victim
    raise AssertionError("no server of the step runs")


def test_a_judge_that_is_another_model_refuses_what_the_writer_makes_up(drawn, server):
    """The writer asks well and answers with a colour that is not there."""

    def lie(body: dict[str, object]) -> str:
        url, text = asked(body)
        true = drawn.truth[blake3(base64.b64decode(url.partition(",")[2])).hexdigest(length=16)]
        subject = "background" if "background" in text else "shape"
        match step_of(body):
            case "question":
                return json.dumps({"question": drawings.questions(subject)[0], "type": subject})
            case "relevance":
                return json.dumps({"reason": "So it is.", "relevant": True})
        false = next(colour for colour in sorted(drawings.COLOURS) if colour not in true.values())
        style = re.match(r"Answer \((\w+)\)", text)[1]  # type: ignore[index]
        return json.dumps({"answer": drawings.answer(subject, false, style)})

    site = drawn.site
    with FakeServer(lie) as liar, dg.DagsterInstance.ephemeral() as instance:
        liar_config = {"engine": "openai", "model": "liar", "url": liar.url}
        engines(site, toy=elsewhere(server.url), liar=liar_config)
        toy_policy(site, engine="liar", judge="toy", scorer=None)
        told = materialize(site.platform(), "lies", instance)
    rows = drawn.rows("lies")
    judged = [row for row in rows if row["judge_score"] is not None]
    print(f"{told['kept']} of {len(judged)} false ones accepted")
    assert len(judged) == LINES and not any(drawn.right(row) for row in judged)
    assert {row["judge_model"] for row in judged} == {f"{MODEL}@{toy_config().revision}"}
    assert told["kept"] <= 0.2 * LINES, "the judge accepts what is false"


def test_the_same_scorer_finds_true_answers_less_surprising_in_every_turn(
    server: LocalServer, tmp_path: Path
) -> None:
    """Losses that are those of the template or of the question would cut at random."""
    site, rng, rows, files = Site(tmp_path), random.Random(99), [], {}
    for number in range(20):
        drawing, subject = drawings.draw(rng), rng.choice(drawings.SUBJECTS)
        files[f"{number}.png"] = drawing.png()
        false = next(colour for colour in drawings.COLOURS if colour not in drawing.colours.values())
        first, *_, last = map(drawings.answer_prompt, drawings.questions(subject))
        for truth, colour in (("true", drawing.colours[subject]), ("false", false)):
            said = json.dumps({"answer": colour})
            row = talk(f"{number}-{truth}", f"{number}.png", question=first, answer=said)
            row["conversations"] += [{"from": "human", "value": last}, {"from": "gpt", "value": f"{said}\n"}]
            rows.append(row)
    site.add("drawings", {"rows.jsonl": jsonl(rows), **files})
    engines(site, toy=elsewhere(server.url))
    scoring = {"name": "toy", "version": 1, "engine": "toy", "measures": ["loss"], "exchanges": 8}
    (site.catalogue / "scoring.yaml").write_text(yaml.safe_dump(scoring | {"source": "a test"}))
    tagged(site.platform(), "drawings")
    scored = materialize_scored(site.platform(), "drawings", "test").published.read().to_pylist()
    assert all(row["loss_problem"] is None and len(row["losses"]) == 2 for row in scored)
    for turn in range(2):
        losses = [row["losses"][turn] for row in scored]
        assert sum(t < f for t, f in zip(losses[0::2], losses[1::2], strict=True)) >= 18
