"""Without these, a score is of other text than it claims, a failure looks perfect, or is paid for twice."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from infinity_assets.errors import CatalogueError
from infinity_assets.models.vlm.fake import FakeServer, Fault
from infinity_assets.orchestration.metadata import told_with_costs
from infinity_assets.preview.app import create_app
from infinity_assets.stages.scored.inputs import behind, moved
from infinity_assets.stages.scored.schema import AXES, SCORED
from infinity_assets.stages.scored.stage import materialize_scored
from infinity_assets.stages.synthesized.stage import materialize_synthesized
from infinity_assets_tests.conftest import jsonl, picture, samples, talk
from infinity_assets_tests.stages.scored.servers import add_samples, name_engine, rating, tagged


def test_every_sample_has_its_loss_and_four_ratings(site):
    """A cut by loss or rating would otherwise be a cut by what was measured."""
    add_samples(site)
    with FakeServer(rating(lambda axis: 1 + AXES.index(axis))) as server:
        name_engine(site, server)
        platform = site.platform()
        tagged(platform)
        result = materialize_scored(platform, "photos", "test")
    rows = {row["exchanges"]: row for row in samples(result)}
    assert [row["loss"] for row in samples(result)] == [0.5] * 6, "of each token of the answer, no other"
    two = rows[2]
    assert two["losses"] == [0.5, 0.5] and two["answer_tokens"] == [10, 6]
    assert [two[axis] for axis in AXES] == [1, 2, 3, 4] and len(two["ratings"]) == 2
    assert two["model"] == "toy@1" and len(two["requests"]) == 6 and two["prompt_tokens"] == 600
    text = samples(result)[-1]
    assert (text["formatting"], text["visual_dependency"], text["ratings_problem"]) == (1, None, None)
    shown = [m for body in server.requests for m in body["messages"] if "image_url" in str(m)]
    assert len(shown) == 4 * 2 + 2 * 2, "the loss and the picture's ratings of each exchange see the picture"
    assert result.notes["null_loss_share"] == 0
    told = told_with_costs(result.notes, result.counts.kept, "sample")
    assert told["cost"] == told["cost_of_this_run"] > 0 and told["requests"] == len(server.requests)


def test_scored_again_asks_nothing_and_a_new_sample_is_asked_about_alone(site):
    """A nightly run would otherwise pay for every sample of the source."""
    add_samples(site)
    with FakeServer(rating()) as server:
        name_engine(site, server)
        tagged(site.platform())
        assert behind(site.platform(), "photos")
        first = materialize_scored(site.platform(), "photos", "r1")
        assert not behind(site.platform(), "photos") and moved(site.platform(), "photos") is None
        asked = len(server.requests)
        again = materialize_scored(site.platform(), "photos", "r2")
        assert len(server.requests) == asked and not again.committed
        add_samples(site, 7)
        tagged(site.platform())
        assert behind(site.platform(), "photos") and moved(site.platform(), "photos") is not None
        grown = materialize_scored(site.platform(), "photos", "r3")
        # One new picture with two exchanges; what was number four now has one exchange, asked about before.
        assert len(server.requests) - asked <= 2 * 3 + 2
    assert grown.counts.rows == first.counts.rows + 1


def test_conversations_that_were_written_are_scored_by_the_same_model(site):
    """Synthetic samples would otherwise pass a cut that others have to take."""
    from infinity_assets_tests.stages.synthesized.test_stage import scenes

    scenes(site, "scenes", 3)
    with FakeServer(rating()) as server:
        name_engine(site, server)
        platform = site.platform()
        tagged(platform, "scenes")
        talks = materialize_synthesized(platform, "scenes", "test").synthesized
        result = materialize_scored(platform, "scenes", "test")
    rows = samples(result)
    written = [row for row in rows if row["kind"] == "synthetic"]
    assert talks.counts.rows == len(written) > 0 and len(rows) == 6 + len(written)
    assert all(row["loss"] == 0.5 and row["relevance"] == 4 for row in written)
    bare = [row for row in rows if row["kind"] is None]
    assert len(bare) == 3 and {row["loss_problem"] for row in bare} == {"no_conversation"}


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        (Fault(status=400), "bad_request"),
        (Fault(status=500), "engine_error"),
        (Fault(text="no JSON at all"), "unparsable"),
        (Fault(refusal="I will not"), "refusal"),
        (Fault(finish_reason="length"), "cut_answer"),
    ],
)
def test_what_fails_is_null_with_its_reason_and_never_a_number(site, fault, problem):
    """A failed measure stored as 0 is a perfect loss: the trap of the released code."""
    add_samples(site)
    with FakeServer(rating(), fault_for=lambda body: fault if "planet" in str(body) else None) as server:
        name_engine(site, server)
        platform = site.platform()
        tagged(platform)
        *others, failed = samples(materialize_scored(platform, "photos", "test"))
    assert failed["ratings_problem"] == problem and failed["relevance"] is None
    if problem in {"bad_request", "engine_error", "refusal"}:
        assert failed["loss"] is None and failed["loss_problem"] == problem and failed["losses"] == [None]
    assert all(row["loss"] == 0.5 and row["loss_problem"] is None for row in others)


def test_spent_budget_publishes_what_was_paid_and_the_next_run_pays_the_rest_once(site):
    """Money that is gone must have bought something, and a limit must not hide samples for ever."""
    add_samples(site)
    with FakeServer(rating()) as server:
        name_engine(site, server, budget=0.5)
        platform = site.platform()
        tagged(platform)
        first = materialize_scored(platform, "photos", "r1")
        assert 0 < first.notes["with_loss"] + first.notes["with_ratings"] < 12
        assert "budget_spent" in {**first.notes["loss_problems"], **first.notes["ratings_problems"]}
        assert behind(platform, "photos")
        assert moved(platform, "photos") is None, "a sensor must not go on spending"
        name_engine(site, server)
        whole = materialize_scored(site.platform(), "photos", "r2")
        assert whole.notes["with_loss"] == 6 and not behind(site.platform(), "photos")
        bodies = [str(body) for body in server.requests]
        assert len(set(bodies)) == len(bodies), "nothing was paid for twice"


def test_scores_can_be_looked_at_row_by_row(site):
    """What nobody can look at is believed, or not, without a reason."""
    add_samples(site)
    with FakeServer(rating()) as server:
        name_engine(site, server)
        platform = site.platform()
        tagged(platform)
        (first, *_) = samples(materialize_scored(platform, "photos", "test"))
    page = TestClient(create_app(platform.store, ["*"])).get("/stage/scored/photos")
    assert page.status_code == 200 and first["sample_id"] in page.text and "image_correspondence" in page.text


def test_without_an_engine_every_score_is_null_and_nothing_is_behind(site):
    """Who has no model must not pay for a stage, nor read a number where none was measured."""
    add_samples(site)
    name_engine(site, None)
    platform = site.platform()
    tagged(platform)
    assert not behind(platform, "photos")
    result = materialize_scored(platform, "photos", "test")
    assert result.notes["engine"].startswith("none") and result.notes["null_loss_share"] == 1
    assert {(row["loss"], row["loss_problem"]) for row in samples(result)} == {(None, "no_engine")}


def test_engine_that_is_not_described_is_refused_by_name(site):
    """A misspelt engine must not mean that nothing is scored."""
    add_samples(site)
    name_engine(site, None, engine="gpt")
    platform = site.platform()
    tagged(platform)
    with pytest.raises(CatalogueError, match=r"no engine 'gpt'.*engines.yaml"):
        materialize_scored(platform, "photos", "test")
    assert platform.store.published(SCORED, "photos") is None


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        ("scoring.yaml", "measures: [loss, beauty]", r"scoring\.yaml:1: measures"),
        ("scoring.yaml", "exchanges: 0", r"scoring\.yaml:1: exchanges"),
        ("scoring.yaml", "budgte: 5", r"scoring\.yaml:1: budgte"),
        ("engines.yaml", "engines: {}", r"engines\.yaml:1: engines"),
        ("engines.yaml", "engines: {Big: {engine: fake, model: m}}", r"engines\.yaml:1: engines\.Big"),
        ("engines.yaml", "engines: {big: {engine: openai, model: m}}", r"engines\.yaml:1: engines\.big"),
    ],
)
def test_wrong_file_is_refused_by_line_and_field(site, file, content, told):
    """A misspelt budget that is ignored is spent."""
    add_samples(site)
    (site.catalogue / file).write_text(content)
    platform = site.platform()
    with pytest.raises(CatalogueError, match=told):
        _ = platform.engines if file == "engines.yaml" else platform.scoring


def test_chinese_samples_are_rated_by_chinese_prompts(site):
    """A rater that is asked in another language than it reads rates the language."""
    asked, answered = "请问这张图片里最大的物体是什么？", "图片里最大的物体是一辆停在路边的红色公共汽车。"
    site.add(
        "photos",
        {
            "0.png": picture(0),
            "rows.jsonl": jsonl([talk(0, "0.png", question=asked, answer=answered)]),
        },
        language="zh",
    )
    with FakeServer(rating()) as server:
        name_engine(site, server)
        tagged(site.platform())
        (row,) = samples(materialize_scored(site.platform(), "photos", "test"))
    assert row["prompts"] == ["loss@1", "picture_ratings.zh@1", "text_ratings.zh@1"] and row["relevance"] == 4
    assert sum("相关性" in str(body) for body in server.requests) == 1


def test_benchmarks_are_not_scored(site):
    """Paying for what is never trained on, and learning from a test what to keep."""
    add_samples(site, category="evaluation")
    with FakeServer(rating()) as server:
        name_engine(site, server)
        tagged(site.platform())
        assert not behind(site.platform(), "photos")
