"""Without these, a model is shown another picture than the one that it is asked about."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from infinity_assets.stages.images.schema import IMAGES
from infinity_assets.stages.images.stored import StoredPictures, _keys
from infinity_assets_tests.conftest import ingest, jsonl, picture, talk

IDS = st.lists(st.binary(min_size=16, max_size=16).map(bytes.hex), max_size=20, unique=True)


def test_pictures_are_found_by_id_with_their_bytes_and_format(site):
    """Also out of order, twice, and beside ids that are not there."""
    files = {f"{i}.png": picture(i) for i in range(9)} | {"9.jpg": picture(9, kind="jpeg")}
    rows = [talk(i, name) for i, name in enumerate(files)]
    site.add("photos", {**files, "rows.jsonl": jsonl(rows)})
    ingest(site.platform(), "photos")
    images = site.platform().store.require(IMAGES, "photos")
    known = images.read(["image_id", "bytes", "format"]).to_pylist()
    stored = StoredPictures(images)
    wanted = [row["image_id"] for row in known[::-1]]
    found = stored.read([*wanted, wanted[0], "0" * 32, "f" * 32])
    assert {i: p.data for i, p in found.items()} == {row["image_id"]: row["bytes"] for row in known}
    types = sorted(p.media_type for p in found.values())
    assert types == ["image/jpeg", *["image/png"] * 9]
    assert stored.read([]) == stored.read(["0" * 32]) == {}


@given(IDS)
def test_ids_keep_apart_whatever_bytes_they_end_with(ids):
    """NumPy drops zero bytes at the end of a string; two ids must not become one."""
    keys = _keys(ids)
    assert len(set(keys.tolist())) == len(ids)
