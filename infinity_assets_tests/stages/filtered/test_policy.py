"""Without these, a typing error in a policy silently changes what is dropped."""

from __future__ import annotations

from pathlib import Path

import pytest

from infinity_assets.errors import CatalogueError
from infinity_assets.stages.filtered.policy import DEFAULT, load_policy

TEXT = DEFAULT.read_text("utf-8")


def line_of(text: str, start: str) -> int:
    return next(i for i, line in enumerate(text.splitlines(), 1) if line.strip().startswith(start))


@pytest.mark.parametrize(
    ("old", "new", "at", "says"),
    [
        (
            "  empty_turn:\n    action: drop",
            "  empty_turn:\n    action: delete",
            "action: delete",
            "'annotate'",
        ),
        ("    limit: 0.6", "    limit: much", "limit: much", "valid number"),
        ("  empty_turn:", "  empty_turns:", "rules:", "no such rule: empty_turns"),
        ("  unknown: drop", "  unknow: drop", "unknow: drop", "not permitted"),
        ("limits: {caption: null}", "limits: {captions: null}", "limits: {captions", "general"),
        ("version: 1", "version: 1\nversion: 2", "version: 2", "given twice"),
        ("name: default", "name: [default", "name: [", "YAML"),
    ],
)
def test_an_error_names_file_and_line(tmp_path: Path, old: str, new: str, at: str, says: str) -> None:
    text = TEXT.replace(old, new, 1)
    assert text != TEXT
    path = tmp_path / "strict.yaml"
    path.write_text(text, "utf-8")
    with pytest.raises(CatalogueError) as error:
        load_policy(path)
    assert says in str(error.value)
    if says != "YAML":
        assert f"strict.yaml:{line_of(text, at)}: " in str(error.value)


def test_a_missing_file_and_other_bytes_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match=r"nowhere\.yaml"):
        load_policy(tmp_path / "nowhere.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"name: \xff")
    with pytest.raises(CatalogueError, match="not UTF-8"):
        load_policy(tmp_path / "bytes.yaml")
    (tmp_path / "empty.yaml").write_text("")
    with pytest.raises(CatalogueError, match=r"empty\.yaml:1"):
        load_policy(tmp_path / "empty.yaml")


def test_the_hash_moves_with_decisions_alone(tmp_path: Path) -> None:
    """A comment that moved the hash would judge every source again; a limit that did not would be ignored."""

    def hash_of(text: str) -> str:
        path = tmp_path / "policy.yaml"
        path.write_text(text, "utf-8")
        return load_policy(path).hash

    assert (
        hash_of("# why\n" + TEXT.replace("source: our choice\n", "source: because\n", 1))
        == load_policy(None).hash
    )
    assert hash_of(TEXT.replace("limit: 0.6", "limit: 0.7")) != load_policy(None).hash
    assert hash_of(TEXT.replace("unknown: drop", "unknown: annotate")) != load_policy(None).hash


def test_licences_are_sorted_by_name_without_case() -> None:
    finding = load_policy(None).licences.finding
    assert finding("Apache-2.0") is None
    assert finding("LicenseRef-MME") is None
    assert finding("Unlicense") is None  # a dedication to the public, not the lack of a licence
    assert finding("cc-by-nc-4.0") == ("licence_noncommercial", "annotate")
    for name in (
        "",
        " unknown",
        "NOASSERTION",
        "All rights reserved",
        "LicenseRef-Proprietary",
        "no-license",
    ):
        assert finding(name) == ("unlicensed", "drop")
