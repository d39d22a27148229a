"""Every sample carries what its duplicates are found by, whatever stands around it in its slice."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from infinity_assets.readers.base import Locator, Record, Slice, Turn
from infinity_assets.similarity.exchanges import Exchanges
from infinity_assets.similarity.texts import MIN_WORDS
from infinity_assets.sources.model import SourceSpec
from infinity_assets.stages.unified import draft
from infinity_assets.stages.unified.text import fingerprint_version
from infinity_assets.store.digests import row_digests

SPEC = SourceSpec.model_validate(
    {
        "name": "src",
        "category": "general",
        "licence": {"id": "CC0-1.0"},
        "language": "en",
        "location": "/nowhere",
        "reader": {"format": "llava"},
    }
)
COLUMNS = ["question_hashes", "turn_hashes", "text_signature"]
LONG = " ".join(f"word{chr(97 + i % 26)}{chr(97 + i // 26)}" for i in range(MIN_WORDS))


def drafted(*conversations: list[tuple[str, str]]) -> list[dict]:
    records = [
        Record(Locator("f", row=i), b"%d" % i, turns=tuple(Turn(role, text) for role, text in turns))
        for i, turns in enumerate(conversations)
    ]
    return pa.concat_tables(draft.draft_tables(records, SPEC)).select(COLUMNS).to_pylist()


def test_a_sample_has_a_hash_for_each_exchange_and_a_signature_where_it_has_enough_words():
    long, short, nothing = drafted(
        [("user", "Who? Answer briefly."), ("assistant", "Anna."), ("user", "Why?"), ("assistant", LONG)],
        [("system", LONG), ("user", "who"), ("assistant", "anna")],
        [],
    )
    assert [len(long[name]) for name in COLUMNS] == [2, 2, 96]
    assert long["turn_hashes"][0] == short["turn_hashes"][0]
    assert short["text_signature"] is None, "a system prompt makes no sample near another"
    assert nothing == {"question_hashes": [], "turn_hashes": [], "text_signature": None}


TEXTS = st.sampled_from(["who", LONG, "yes", LONG + " x"])
TURNS = st.lists(st.tuples(st.sampled_from(["user", "assistant"]), TEXTS), max_size=4)


@settings(max_examples=25, deadline=None)
@given(st.lists(TURNS, max_size=6), st.integers(1, 3))
def test_what_else_a_slice_holds_changes_no_fingerprint(conversations, at_once):
    alone = [drafted(turns)[0] for turns in conversations]
    before, draft.ROWS_AT_ONCE = draft.ROWS_AT_ONCE, at_once
    try:
        assert (drafted(*conversations) if conversations else []) == alone
    finally:
        draft.ROWS_AT_ONCE = before


def test_a_draft_made_with_other_fingerprints_is_not_used_again(monkeypatch):
    piece = Slice("f", "hash")
    now = draft.draft_key(SPEC, piece)
    monkeypatch.setattr(draft, "fingerprint_version", lambda: (*fingerprint_version(), 1))
    assert draft.draft_key(SPEC, piece) != now


def test_a_hash_in_a_list_counts_in_the_digest_of_its_row():
    exchanges = Exchanges()
    hashes = [exchanges.fingerprints(e)[1] for e in exchanges.of([("user", "a"), ("assistant", "b")])]
    rows = [hashes, hashes[:1] * 2, [], [b"\xff" * 16]]
    table = pa.table({"turn_hashes": pa.array(rows, pa.list_(pa.binary(16)))})
    assert len({digest.tobytes() for digest in row_digests(table)}) == len(rows)
