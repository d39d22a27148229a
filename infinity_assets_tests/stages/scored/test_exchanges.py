"""Without these, an answer is scored beside another picture, or before it was asked for."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infinity_assets.models.vlm.fake import FakeServer, Fault
from infinity_assets.models.vlm.requests import Picture
from infinity_assets.stages.scored.exchanges import UNFIT, Unfit, exchanges
from infinity_assets.stages.scored.schema import SCORED
from infinity_assets.stages.scored.stage import materialize_scored
from infinity_assets_tests.stages.scored.servers import add_samples, name_engine, rating, tagged

TURN = st.tuples(
    st.sampled_from(["user", "assistant", "system"]), st.text("ab\n ", max_size=5), st.integers(0, 2)
)


def sample(turns):
    """Turns with markers in front, their media, and pictures whose bytes are their ids."""
    count = sum(n for _, _, n in turns)
    media = [{"kind": "image", "image_id": f"{i:032x}"} for i in range(count)]
    pictures = {m["image_id"]: Picture(m["image_id"], m["image_id"].encode(), "image/png") for m in media}
    rows = [{"role": role, "text": "<image>" * n + text} for role, text, n in turns]
    return rows, media, pictures


@given(st.lists(TURN, max_size=8), st.integers(1, 4))
def test_an_exchange_has_all_that_was_said_and_shown_before_and_nothing_after(turns, most):
    """A loss that has seen the next turn measures another thing than training does."""
    rows, media, pictures = sample(turns)
    answered = [
        i
        for i, (role, _, _) in enumerate(turns)
        if role == "assistant" and "user" in [r for r, _, _ in turns[_last_answer(turns, i) : i]]
    ]
    if not answered:
        with pytest.raises(Unfit, match="no_conversation"):
            exchanges(rows, media, pictures, most)
        return
    found = exchanges(rows, media, pictures, most)
    assert len(found) == min(most, len(answered))
    for place, one in zip(answered, found, strict=False):
        assert len(one.before) == place and [m.role for m in one.before] == [r for r, _, _ in turns[:place]]
        shown = [p for m in one.before for p in m.parts if isinstance(p, Picture)]
        assert [p.image_id for p in shown] == [
            m["image_id"] for m in media[: sum(n for *_, n in turns[:place])]
        ]
        assert tuple(shown) == one.pictures and one.answer == rows[place]["text"].strip()
        assert not any("<image>" in p for m in one.before for p in m.parts if isinstance(p, str))


def _last_answer(turns, place) -> int:
    return max((i + 1 for i in range(place) if turns[i][0] == "assistant"), default=0)


@pytest.mark.parametrize(
    ("turns", "media", "reason"),
    [
        ([{"role": "user", "text": "<video>What?"}], [{"kind": "video", "image_id": None}], "other_media"),
        ([{"role": "tool", "text": "42"}], [], "other_roles"),
        (
            [{"role": "user", "text": "<image>What?"}],
            [{"kind": "image", "image_id": "f" * 32}],
            "picture_missing",
        ),
        ([], [], "no_conversation"),
    ],
)
def test_what_cannot_be_scored_says_why(turns, media, reason):
    """Scored without its video a sample looks like a bad one."""
    with pytest.raises(Unfit) as error:
        exchanges(turns, media, {}, 8)
    assert str(error.value) == reason and reason in UNFIT


CHILD = """
import sys
from pathlib import Path
from infinity_assets.platform import Platform
from infinity_assets.settings import Settings
from infinity_assets.stages.scored.stage import materialize_scored
folder = Path(sys.argv[1])
root = str(folder / "store")
settings = Settings(home=folder / "home", catalogue=folder / "catalogue", store=root, workers=1)
materialize_scored(Platform(settings), "photos", "child")
"""


def test_a_killed_run_publishes_nothing_and_pays_for_nothing_twice(site):
    """A crash on the last night of a week's scoring must not cost the week."""
    add_samples(site, 8)
    killed = []

    def slowly(body):
        if len(server.requests) == 12 and not killed:
            killed.append(os.kill(child.pid, signal.SIGKILL))
        return Fault(delay_s=0.02)

    with FakeServer(rating(), fault_for=slowly) as server:
        name_engine(site, server)
        tagged(site.platform())
        child = subprocess.Popen([sys.executable, "-c", CHILD, str(site.folder)])
        assert child.wait() == -signal.SIGKILL
        before = [json.dumps(body) for body in server.requests]
        assert site.platform().store.published(SCORED, "photos") is None
        result = materialize_scored(site.platform(), "photos", "again")
        asked = [json.dumps(body) for body in server.requests]
    assert result.notes["with_loss"] == 8
    twice = len(asked) - len(set(asked))
    assert len(before) == 12 and twice <= 2 + 1, "those at work alone, and one that was not kept yet"
