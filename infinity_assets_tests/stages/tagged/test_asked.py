"""Without these, a model's words become labels and tags that the tree and the vocabulary do not have."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from infinity_assets.cli import app
from infinity_assets.errors import CatalogueError
from infinity_assets.models.taggers.vlm import read_tags
from infinity_assets.models.vlm.fake import FakeServer, Fault
from infinity_assets.models.vlm.prompt_files import fill
from infinity_assets.models.vlm.replies import Reply
from infinity_assets.orchestration.metadata import told_with_costs
from infinity_assets.platform import Platform
from infinity_assets.settings import Settings
from infinity_assets.stages.filtered.policy import DEFAULT
from infinity_assets.stages.tagged.model_labels import LabelAsker
from infinity_assets.stages.tagged.stage import materialize_tagged
from infinity_assets.stages.tagged.taxonomy import load_taxonomy
from infinity_assets.stages.tagged.vocabulary import load_vocabulary
from infinity_assets_tests.conftest import dedupe, ingest, jsonl, picture, samples, talk
from infinity_assets_tests.stages.scored.servers import PRICES

TREE = load_taxonomy(version=1)
QUESTIONS = [
    "Which colour has the car?",
    "Which colour has the car?",
    "How is the handwriting to be judged?",
    "图中的字迹如何？",
    "Where may one park here?",
]


def add(site, questions=QUESTIONS) -> None:
    rows = [talk(i, f"{i}.png", question=q, answer=f"Answer {i}.") for i, q in enumerate(questions)]
    rows.append(talk("text", question="Which colour has the sky of a planet?", answer="Blue."))
    site.add("photos", {**{f"{i}.png": picture(i) for i in range(len(questions))}, "rows.jsonl": jsonl(rows)})


def platform(site, server: FakeServer | None, **settings) -> Platform:
    if server is not None:
        engine = {"engine": "openai", "model": "toy", "url": server.url, "attempts": 1}
        (site.catalogue / "engines.yaml").write_text(yaml.safe_dump({"engines": {"local": engine}}))
    return Platform(Settings(home=site.folder / "home", catalogue=site.catalogue, workers=1, **settings))


def ready(opened: Platform) -> Platform:
    ingest(opened, "photos")
    dedupe(opened, "photos")
    return opened


def labels(body) -> str:
    """A model that files colours, and misses a leaf for handwriting."""
    text = str(body["messages"][-1]["content"]).rsplit("-----", 2)[1]
    if "colour" in text:
        said = {"leaf": "colour", "new_leaf": "", "new_group": "none"}
    elif "handwriting" in text or "字迹" in text:
        said = {"leaf": "none", "new_leaf": "handwriting", "new_group": "ocr"}
    else:
        said = {"leaf": "none", "new_leaf": "", "new_group": "none"}
    return json.dumps(said)


def test_a_model_files_each_question_once_under_the_tree_and_proposals_wait_for_a_person(site, tmp_path):
    """Labels outside of the tree, or a tree that grows by itself, mean something else next month."""
    add(site)
    with FakeServer(labels) as server:
        opened = ready(platform(site, server, labeller="vlm", tagging_engine="local"))
        result = materialize_tagged(opened, "photos", "r1")
        asked = len(server.requests)
        assert asked == 4, "four distinct questions about pictures; the text is not about any"
        schema = server.requests[0]["response_format"]["json_schema"]["schema"]
        assert set(schema["properties"]["leaf"]["enum"]) == {*TREE.leaves, "none"}
        again = materialize_tagged(opened, "photos", "r2")
        assert len(server.requests) == asked and not again.committed
    leaves = [row["instruction_l3"] for row in samples(result)]
    assert leaves == [["colour"], ["colour"], [None], [None], [None], [None]]
    assert result.notes["labeller"] == "toy@1" and result.notes["label_problems"] == {"no_leaf": 3}
    chinese = [body for body in server.requests if "字迹" in str(body)]
    assert len(chinese) == 1 and "分类树" in str(chinese[0])

    file = tmp_path / "v2.yaml"
    command = ["taxonomy", "propose", "--home", str(site.folder / "home"), "--least"]
    told = CliRunner().invoke(app, [*command, "2", "--write", str(file)])
    assert told.exit_code == 0 and "+ ocr/handwriting: 2 questions of photos" in told.stdout, told.output
    assert "handwriting" not in CliRunner().invoke(app, [*command, "3"]).stdout
    check = ["taxonomy", "check", str(file)]
    refused = CliRunner().invoke(app, check)
    assert refused.exit_code == 1 and "zh" in refused.output, "nobody has reviewed it yet"
    reviewed = yaml.safe_load(file.read_text())
    reviewed["changes"][0] |= {"zh": "手写", "reviewer": "team:data"}
    file.write_text(yaml.safe_dump(reviewed))
    agreed = CliRunner().invoke(app, check)
    assert agreed.exit_code == 0 and "+ ocr/handwriting" in agreed.stdout, agreed.output


@pytest.mark.parametrize(
    ("fault", "problem", "settles"),
    [
        (Fault(finish_reason="length", text='{"leaf": "colo'), "cut_answer", True),
        (Fault(text='{"leaf": "paint", "new_leaf": "", "new_group": "none"}'), "unparsable", True),
        (Fault(refusal="no"), "refusal", True),
        (Fault(status=500), "engine_error", False),
    ],
)
def test_reply_that_cannot_be_used_is_no_label_and_an_engine_s_failure_is_asked_again(
    site, fault, problem, settles
):
    """A guessed label teaches the wrong thing; one that a bad hour costs must come back."""
    add(site)
    with FakeServer(labels, fault_for=lambda body: fault if "park" in str(body) else None) as server:
        opened = ready(platform(site, server, labeller="vlm", tagging_engine="local"))
        result = materialize_tagged(opened, "photos", "r1")
        assert result.notes["label_problems"][problem] == 1
        assert samples(result)[4]["instruction_l3"] == [None]
        before = len(server.requests)
        materialize_tagged(opened, "photos", "r2")
        assert (len(server.requests) == before) == settles


def test_a_model_s_tags_are_those_of_the_vocabulary(site):
    """Tags that nothing else uses can be associated with nothing."""
    add(site)
    words = json.dumps({"tags": ["Dogs", "sofa", "flibbertigibbet", "dog"]})
    cut = Fault(finish_reason="length", text='{"tags": ["dog", "so')
    with FakeServer(lambda body: words, faults=[cut]) as server:
        opened = ready(platform(site, server, tagger="vlm", tagging_engine="local"))
        result = materialize_tagged(opened, "photos", "r1")
        assert len(server.requests) == len(QUESTIONS), "each picture once"
        materialize_tagged(opened, "photos", "r2")
        assert len(server.requests) == len(QUESTIONS)
    known = load_vocabulary()
    tags = [row["image_tags"] for row in samples(result)]
    assert sorted(map(len, tags)) == [0, 0, 2, 2, 2, 2], "a cut reply gives none; the text has no picture"
    full = next(row for row in samples(result) if row["image_tags"])
    assert set(full["image_tags"]) == {known.resolve("dog"), known.resolve("sofa")}
    assert full["tag_sources"] == ["picture", "picture"] and full["tag_logits"] == [None, None]
    assert full["vocabulary"] == known.label and result.notes["tag_problems"] == {"cut_answer": 1}


def test_model_without_an_engine_is_refused_by_name(site):
    """Falling back in silence would give one source labels of another kind."""
    add(site)
    opened = ready(platform(site, None, labeller="vlm"))
    with pytest.raises(CatalogueError, match="INFINITY_TAGGING_ENGINE"):
        materialize_tagged(opened, "photos", "r1")


@given(st.lists(st.text(max_size=12), max_size=8))
def test_tags_are_distinct_and_known_whatever_is_said(words):
    """Whatever a model writes, a table holds tags of its vocabulary and no other."""
    known = load_vocabulary()
    reply = Reply("0" * 32, "toy", parsed={"tags": words})
    found, unknown = read_tags(reply, known.resolve) or ((), -1)
    assert set(found) <= set(known.tags) and list(found) == sorted(set(found))
    assert 0 <= unknown <= len(words)


@given(st.text(max_size=200))
def test_what_is_put_into_a_prompt_is_not_read_as_one(text):
    """A question that names {tree} would otherwise be replaced by it."""
    assert fill("a {tree} b {question} c", {"tree": "T", "question": text}) == f"a T b {text} c"
    asked = LabelAsker(TREE).request(text).messages[0].parts[0]
    assert text in str(asked)


def test_prompts_of_a_version_stay_as_they_are():
    """Kept replies name the version of their prompt; another text under it would make them lie."""
    import blake3

    from infinity_assets.models.taggers import vlm
    from infinity_assets.stages.scored import asking
    from infinity_assets.stages.tagged import model_labels

    folders = [Path(vlm.PROMPTS), Path(asking.PROMPTS), Path(model_labels.PROMPTS)]
    found = {p.name: blake3.blake3(p.read_bytes()).hexdigest(length=4) for f in folders for p in f.iterdir()}
    assert found == {
        "tags-1.en.txt": "98f026ac",
        "picture_ratings-1.en.txt": "c85517ea",
        "picture_ratings-1.zh.txt": "65b13fc5",
        "text_ratings-1.en.txt": "fd78f9fd",
        "text_ratings-1.zh.txt": "d988fbd6",
        "label-1.en.txt": "53630555",
        "label-1.zh.txt": "4b9a5bf6",
    }


def test_a_budget_ends_tagging_with_everything_kept_that_was_paid_for(site, tmp_path):
    """Money that runs out must cost neither what it bought nor the run; the page says what it bought."""
    add(site)
    policy = yaml.safe_load(DEFAULT.read_text())

    def limited(server, budget):
        policy["model_tags"] = {"budget": budget}
        path = tmp_path / "policy.yaml"
        path.write_text(yaml.safe_dump(policy))
        priced = {**PRICES, "currency": "EUR"}
        opened = platform(site, server, labeller="vlm", tagging_engine="local", policy=path)
        engines = yaml.safe_load((site.catalogue / "engines.yaml").read_text())
        engines["engines"]["local"] |= {"prices": priced, "concurrency": 1}
        (site.catalogue / "engines.yaml").write_text(yaml.safe_dump(engines))
        return opened

    with FakeServer(labels) as server:
        opened = ready(limited(server, 0.25))
        first = materialize_tagged(opened, "photos", "r1").notes
        assert len(server.requests) == 2 and first["label_problems"]["budget_spent"] == 2
        told = told_with_costs(first, 6, "sample")
        assert told["currency"] == "EUR" and told["cost_of_this_run"] == pytest.approx(2 * 0.11)
        again = materialize_tagged(opened, "photos", "r2").notes
        assert len(server.requests) == 2, "what is spent stays spent"
        assert told_with_costs(again, 6, "sample")["cost_of_this_run"] == 0
        more = materialize_tagged(limited(server, 10), "photos", "r3").notes
    assert len(server.requests) == 4 and "budget_spent" not in more.get("label_problems", {})
    told = told_with_costs(more, 6, "sample")
    assert (told["requests"], told["requests_of_this_run"]) == (4, 2)
    assert told["cost"] == pytest.approx(4 * 0.11)
    assert "label.en@1" in told["cost_ledger"].value and "label.zh@1" in told["cost_ledger"].value
