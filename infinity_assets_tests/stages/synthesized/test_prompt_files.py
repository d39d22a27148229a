"""Without these, a prompt changes under its version, or a typing error in one is paid for a million times."""

from __future__ import annotations

import pytest
import yaml

from infinity_assets.errors import CatalogueError
from infinity_assets.stages.synthesized.asking import words_of
from infinity_assets.stages.synthesized.prompt_files import FOLDER, load_prompts
from infinity_assets.stages.tagged.taxonomy import load_taxonomy

#: What the package's prompts say. A text that changes raises its version, and this line with it.
SAID = {
    "en": ("question.en@1 relevance.en@1 answer.en@1 judge.en@1", "d3a92fabd3d785de314532b01c81bac2"),
    "zh": ("question.zh@1 relevance.zh@1 answer.zh@1 judge.zh@1", "d33a6e7b4b5e03d47179ae063fa058fa"),
}


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_text_that_changes_has_another_version(language):
    prompts = load_prompts(language)
    assert (" ".join(p.label for p in prompts.by_step.values()), prompts.hash) == SAID[language]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_kind_of_the_tree_can_be_asked_for_in_both_languages(language):
    prompt = load_prompts(language)["question"]
    for leaf in load_taxonomy().leaves.values():
        text = prompt.fill(words_of(leaf, language) | {"known": prompt.none})
        assert "{" not in text and (leaf.zh if language == "zh" else leaf.title) in text


def test_what_is_put_into_a_prompt_is_never_looked_at_again():
    """A question that holds a placeholder must not make the prompt say something else."""
    prompt = load_prompts("en")["judge"]
    text = prompt.fill({"question": "What does {answer} mean?", "answer": "{question} {0} %s"})
    assert "What does {answer} mean?" in text and "{question} {0} %s" in text


@pytest.mark.parametrize(
    ("step", "change", "told"),
    [
        ("judge", {"user": "Score {wisdom}."}, "wisdom"),
        ("judge", {"schema": {"type": "object", "required": ["points"]}}, "score"),
        ("answer", {"styles": {"short": "Be short."}}, "styles"),
        ("question", {"version": 0}, "version"),
        ("question", {"language": "zh"}, "zh"),
        ("question", {"temprature": 1}, "temprature"),
    ],
)
def test_a_wrong_prompt_is_refused_by_file_and_field(tmp_path, step, change, told):
    for path in FOLDER.glob("*.en.yaml"):
        (tmp_path / path.name).write_text(path.read_text())
    path = tmp_path / f"{step}.en.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | change))
    with pytest.raises(CatalogueError, match=rf"{step}\.en\.yaml.*{told}"):
        load_prompts("en", tmp_path)
