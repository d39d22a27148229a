"""Without these, nobody knows what a step costs before it is paid, or the price itself is paid twice."""

from __future__ import annotations

import json

import pytest
import yaml
from blake3 import blake3
from typer.testing import CliRunner

from infinity_assets.cli import app
from infinity_assets.errors import CatalogueError
from infinity_assets.models.vlm.fake import FakeServer
from infinity_assets.pricing.price import price
from infinity_assets.stages.scored.stage import materialize_scored
from infinity_assets_tests.conftest import jsonl, picture, talk
from infinity_assets_tests.stages.scored.servers import name_engine, rating, tagged


def add_uneven(site, count: int = 40) -> None:
    """Samples of one to four exchanges, a third of them without a picture: some cost ten times others."""
    rows, files = [], {}
    for i in range(count):
        row = talk(i, *([f"{i}.png"] if i % 3 else []))
        for turn in range(i % 4):
            row["conversations"] += [
                {"from": "human", "value": f"And what is number {turn} beside it, in picture {i}?"},
                {"from": "gpt", "value": f"Beside it is the thing with number {turn * i}."},
            ]
        rows.append(row)
        if i % 3:
            files[f"{i}.png"] = picture(i)
    site.add("photos", {**files, "rows.jsonl": jsonl(rows)})


def test_the_interval_holds_what_the_whole_then_costs(site):
    """The test of a price is the bill."""
    add_uneven(site)
    with FakeServer(rating()) as server:
        name_engine(site, server)
        platform = site.platform()
        tagged(platform)
        (found,) = price(platform, "photos", "scorer", ["scoring"], 15, 7)
        asked = len(server.requests)
        (again,) = price(platform, "photos", "scorer", ["scoring"], 15, 7)
        assert len(server.requests) == asked, "the same sample is not paid for twice"
        materialize_scored(platform, "photos", "test")
        requests = len(server.requests)
    told = found.as_json()
    assert told == again.as_json() and told["sampled"] == 15 and told["units"] == 40
    true = {"requests": requests, "prompt_tokens": 100 * requests, "completion_tokens": 10 * requests}
    for name, value in {**true, "cost": 0.11 * requests}.items():
        assert told[name]["low"] <= value <= told[name]["high"], (name, value, told[name])
        assert told[name]["low"] < told[name]["high"] < 3 * value
    assert requests > asked and told["gpu_hours"] is None


def test_hours_follow_from_a_given_speed_before_there_is_such_a_machine(site):
    """A sample that a small server answers tells that server's hours, not those of one to be hired."""
    add_uneven(site, 12)
    with FakeServer(rating()) as server:
        name_engine(site, server)
        tagged(site.platform())
        file = site.catalogue / "engines.yaml"
        engines = yaml.safe_load(file.read_text())
        engines["engines"]["scorer"]["prices"] = {"per_million_prompt_tokens": 2.0, "per_hour": 3.0}
        engines["engines"]["scorer"]["speed"] = {
            "prompt_tokens_per_s": 100,
            "completion_tokens_per_s": 10,
            "gpus": 4,
        }
        file.write_text(yaml.safe_dump(engines))
        (found,) = price(site.platform(), "photos", "scorer", ["scoring"], 12, 7)
    told = {name: value for name, value in found.as_json().items() if isinstance(value, dict)}
    hours = (
        told["requests"]["estimate"] * (100 / 100 + 10 / 10) / 3600
    )  # a fake reply: 100 tokens read, 10 written
    assert told["gpu_hours"]["estimate"] == pytest.approx(4 * hours)
    tokens = told["prompt_tokens"]["estimate"] * 2.0 / 1e6
    assert told["cost"]["estimate"] == pytest.approx(tokens + 3.0 * hours)


def test_command_tells_the_price_as_text_and_as_json(site):
    """A price that only code can read decides no budget."""
    add_uneven(site, 12)
    with FakeServer(rating()) as server:
        name_engine(site, server)
        platform = site.platform()
        home = site.folder / "home"
        moved = platform.settings.model_copy(update={"store": None})
        platform = type(platform)(moved)
        tagged(platform)
        command = ["price", "--home", str(home), "--catalogue", str(site.catalogue), "--source", "photos"]
        command += ["--engine", "scorer", "--step", "scoring", "--samples", "12"]
        shown = CliRunner().invoke(app, command)
        told = CliRunner().invoke(app, [*command, "--json"])
    assert shown.exit_code == told.exit_code == 0, shown.output
    (one,) = json.loads(told.stdout)
    assert one["cost"]["low"] == pytest.approx(one["cost"]["high"]), "all of it was asked about"
    assert "scoring" in shown.stdout and "12 of 12" in shown.stdout and "USD" in shown.stdout


def test_what_cannot_be_priced_is_told(site):
    """A misspelt name must not be a price of nothing."""
    add_uneven(site, 3)
    name_engine(site, None)
    tagged(site.platform())
    with pytest.raises(CatalogueError, match="no engine 'gpt'"):
        price(site.platform(), "photos", "gpt", None, 10, 0)
    with FakeServer(rating()) as server:
        name_engine(site, server)
        with pytest.raises(CatalogueError, match="no step 'writing'"):
            price(site.platform(), "photos", "scorer", ["writing"], 10, 0)
        with pytest.raises(CatalogueError, match="no source named 'phtoos'"):
            price(site.platform(), "phtoos", "scorer", None, 10, 0)


def test_writing_is_priced_by_the_questions_that_really_get_an_answer(site):
    """Most of a bad question's cost is never paid; a price by the longest way would scare off."""
    from infinity_assets_tests.stages.synthesized import talking

    def picky(body) -> str:
        if talking.step_of(body) == "relevance" and hash_of(body) % 3 == 0:
            return json.dumps({"reason": "It is not there.", "relevant": False})
        return talking.reply(body)

    talking.add_pictures(site, "pictures", 30)
    with talking.serve(picky) as server:
        talking.engines(site, writer={"url": server.url})
        talking.policy(site, engine="rules", budget=0.2)
        talking.tagged(site.platform(), "pictures")
        told = [
            price(site.platform(), "pictures", "writer", ["synthesis"], 20, seed)[0].as_json()
            for seed in range(6)
        ]
        talking.policy(site)
        whole = talking.synthesized(site)
    true = sum(line["cost"] for line in talking.lines(whole))
    assert {one["units"] for one in told} == {len(talking.lines(whole))} and told[0]["sampled"] == 20
    longest = len(talking.lines(whole)) * 4 * 0.11
    # One of twenty intervals may miss: of six seeds, one does.
    assert sum(one["cost"]["low"] <= true <= one["cost"]["high"] for one in told) >= 5
    assert all(one["cost"]["estimate"] < longest for one in told)
    covered = [one["requests"]["low"] <= len(server.requests) <= one["requests"]["high"] for one in told]
    assert sum(covered) >= 5


def hash_of(body) -> int:
    return int(blake3(json.dumps(body["messages"]).encode()).hexdigest(length=4), 16)


def test_labels_and_tags_are_priced_by_what_is_asked_once(site):
    """A price by samples would be far too high: a question that all of them ask is asked about once."""
    rows = [talk(i, f"{i % 6}.png", question=f"Which colour is thing {i % 5}?") for i in range(20)]
    site.add("photos", {**{f"{i}.png": picture(i) for i in range(6)}, "rows.jsonl": jsonl(rows)})

    def say(body) -> str:
        asked = str(body["messages"][-1]["content"])
        return json.dumps(
            {"tags": ["cat"]}
            if "image_url" in asked
            else {"leaf": "colour", "new_leaf": "", "new_group": "none"}
        )

    with FakeServer(say) as server:
        name_engine(site, server)
        tagged(site.platform())
        labels, tags, together = price(site.platform(), "photos", "scorer", ["labelling", "tagging"], 6, 1)
        assert len(server.requests) == 5 + 6
    assert [(p.step, p.estimate.units, p.failed) for p in (labels, tags)] == [
        ("labelling", 5, 0),
        ("tagging", 6, 0),
    ]
    assert together.as_json()["cost"]["estimate"] == pytest.approx(11 * 0.11)
