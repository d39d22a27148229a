"""Prompts as files: each has a name, a version and a language, and says what a reply has to look like."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, get_args

import blake3
from pydantic import BaseModel, ConfigDict, Field, model_validator

from infinity_assets.errors import CatalogueError
from infinity_assets.stages.synthesized.policy import STYLES, Language, Style
from infinity_assets.yaml_file import Problem, read_validated

FOLDER: Final = Path(__file__).with_name("prompts")

Step = Literal["question", "relevance", "answer", "judge"]

#: What each step's prompt may insert, and the field that its schema must require.
_WORDS: Final[Mapping[str, frozenset[str]]] = {
    "question": frozenset({"leaf", "kind", "group", "known"}),
    "relevance": frozenset({"leaf", "kind", "group", "question"}),
    "answer": frozenset({"leaf", "kind", "group", "question", "style"}),
    "judge": frozenset({"leaf", "kind", "group", "question", "answer"}),
}
_FIELDS: Final[Mapping[str, str]] = {
    "question": "question",
    "relevance": "relevant",
    "answer": "answer",
    "judge": "score",
}
_WORD: Final = re.compile(r"\{([a-z]+)\}")


class Prompt(BaseModel):
    """One prompt file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Step  #: also the step that it serves
    version: int = Field(ge=1)
    language: Language
    max_tokens: int = Field(ge=1)  #: of the reply; a longer one is cut, and a cut one is a verdict
    system: str | None = None
    user: Annotated[str, Field(min_length=1)]  #: stands after the picture; ``{word}`` is replaced
    none: str = "-"  #: what ``{known}`` becomes where the picture has no question yet
    styles: dict[Style, str] | None = None  #: ``answer`` only: what ``{style}`` becomes
    schema_: dict[str, Any] = Field(alias="schema")  #: JSON schema of the reply

    @property
    def label(self) -> str:
        """As tables and requests state it."""
        return f"{self.name}.{self.language}@{self.version}"

    @model_validator(mode="after")
    def _fits(self) -> Self:
        unknown = sorted(set(_WORD.findall(self.user)) - _WORDS[self.name])
        if unknown:
            known = ", ".join(sorted(_WORDS[self.name]))
            raise ValueError(f"nothing to put for {{{unknown[0]}}}; a {self.name} prompt has: {known}")
        if _FIELDS[self.name] not in self.schema_.get("required", ()):
            raise ValueError(f"the schema must require {_FIELDS[self.name]!r}: it is what the step asks for")
        if (self.name == "answer") != (self.styles is not None) or set(self.styles or STYLES) != set(STYLES):
            raise ValueError(f"an answer prompt says what each of the styles means ({', '.join(STYLES)})")
        return self

    def fill(self, words: Mapping[str, str]) -> str:
        """The text for a picture; what is put in is never looked at again."""
        return _WORD.sub(lambda found: words[found[1]], self.user)


@dataclass(frozen=True)
class Prompts:
    """The prompts of all steps, in one language."""

    language: Language
    by_step: Mapping[Step, Prompt]

    def __getitem__(self, step: Step) -> Prompt:
        return self.by_step[step]

    @functools.cached_property
    def hash(self) -> str:
        """32 hex characters of everything that they say."""
        told = {step: prompt.model_dump(mode="json") for step, prompt in self.by_step.items()}
        return blake3.blake3(json.dumps(told, sort_keys=True).encode()).hexdigest(length=16)


def load_prompts(language: Language, folder: Path | None = None) -> Prompts:
    """The prompts of a folder: ``<step>.<language>.yaml`` for each step; the package's if None.

    Raises:
        CatalogueError: if a file is missing or wrong; the message names file, line and field.
    """
    found: dict[Step, Prompt] = {}
    problems: list[Problem] = []
    for step in get_args(Step):
        path = (folder or FOLDER) / f"{step}.{language}.yaml"
        prompt, wrong = read_validated(path, str(path), "prompt", Prompt.model_validate)
        problems += wrong
        if prompt is not None and (prompt.name, prompt.language) != (step, language):
            problems.append(Problem(str(path), 1, f"is a prompt for {prompt.name} in {prompt.language}"))
        elif prompt is not None:
            found[step] = prompt
    if problems:
        raise CatalogueError("\n".join(map(str, problems)))
    return Prompts(language, found)
