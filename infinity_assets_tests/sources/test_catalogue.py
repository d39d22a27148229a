"""What is wrong in a catalogue is told all at once, each with its file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from infinity_assets.errors import CatalogueError
from infinity_assets.sources.catalogue import load_catalogue, read_catalogue

GOOD = """\
name: {name}
category: general
licence: {{id: CC-BY-4.0}}
language: en
location: data
reader:
  format: llava
"""


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder


def problems(folder: Path) -> list[str]:
    return [str(problem) for problem in read_catalogue(folder)[1]]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (GOOD + "colour: red\n", ["a.yaml:8: colour: Extra inputs are not permitted"]),
        (GOOD + "priority: high\n", ["a.yaml:8: priority: Input should be a valid integer"]),
        (GOOD + "priority: 1\npriority: 2\n", ["a.yaml:9: key 'priority' is given twice"]),
        (GOOD + "  format: vqa\n", ["a.yaml:8: key 'format' is given twice"]),
        (GOOD + "stages: ['1', '9']\n", ["a.yaml:8: stages.1: Input should be '1', '2a'"]),
        (GOOD + "revision: 2024-13-45\n", ["a.yaml:1: not YAML: month must be in 1..12"]),
        (GOOD + "title: [open\n", ["a.yaml:9: not YAML: expected ',' or ']'"]),
        (GOOD + "\ttitle: x\n", ["not YAML: found character '\\t'"]),
        (GOOD.replace("llava", "excel"), ["a.yaml:6: reader: unknown reader format 'excel'; known: alpaca"]),
        (GOOD + "  colour: red\n", ["a.yaml:8: reader.colour: Extra inputs are not permitted"]),
        (GOOD + "  image_base: 7\n", ["a.yaml:8: reader.image_base: Input should be a valid string"]),
        (GOOD.replace("  format: llava", "  - llava"), ["a.yaml:6: reader: Input should be a valid dict"]),
        (GOOD.replace("name: {name}", "name: A-b"), ["a.yaml:1: name: String should match pattern"]),
        (GOOD.replace("location: data\n", ""), ["a.yaml:1: location: Field required"]),
        (GOOD.replace("general", "everything"), ["a.yaml:2: category: Input should be 'caption'"]),
        (GOOD.replace("{{id: CC-BY-4.0}}", "{{id: '', by: me}}"), ["3: licence.id", "3: licence.by"]),
        ("- name: a\n", ["a.yaml:1: a source file is a mapping"]),
        ("", ["a.yaml:1: a source file is a mapping"]),
        (GOOD + "again: &x {{b: *x}}\n", ["a.yaml:8: again: Extra inputs are not permitted"]),
        ("{{" * 3000, ["a.yaml:1: not YAML"]),
    ],
)  # fmt: skip
def test_a_problem_is_told_with_its_file_and_line(tmp_path: Path, text: str, told: list[str]) -> None:
    found = problems(write(tmp_path, a=text.format(name="a")))
    assert len(found) == len(told), found
    for problem, expected in zip(found, told, strict=True):
        assert expected in problem and "\n" not in problem, problem


def test_all_problems_are_told_at_once_and_good_sources_stay_usable(tmp_path: Path) -> None:
    write(
        tmp_path,
        a=GOOD.format(name="one"),
        b=GOOD.format(name="one"),
        c=GOOD.format(name="two") + "colour: red\npriority: high\n",
        d="name: [",
        e=GOOD.format(name="three"),
    )
    (tmp_path / "f.yaml").write_bytes(b"\xff\xfe")
    (tmp_path / "mixes.yaml").write_text("not a source")
    catalogue, found = read_catalogue(tmp_path)
    assert sorted(catalogue) == ["one", "three"]
    assert sorted((p.file, p.line) for p in found) == [
        ("b.yaml", 1),
        ("c.yaml", 8),
        ("c.yaml", 9),
        ("d.yaml", 1),
        ("f.yaml", 1),
    ]
    assert found[0].message == "name 'one' is taken by a.yaml"
    with pytest.raises(CatalogueError) as error:
        load_catalogue(tmp_path)
    assert str(error.value).splitlines() == [str(p) for p in found]


def test_no_folder_no_file_and_no_such_source_are_told_plainly(tmp_path: Path) -> None:
    assert "no such folder" in problems(tmp_path / "none")[0]
    assert "no source files" in problems(tmp_path)[0]
    catalogue = load_catalogue(write(tmp_path, a=GOOD.format(name="a")))
    with pytest.raises(CatalogueError, match="no source named 'b' in the catalogue; known: a"):
        catalogue["b"]
    assert "b" not in catalogue and catalogue["a"].spec.format == "llava"
