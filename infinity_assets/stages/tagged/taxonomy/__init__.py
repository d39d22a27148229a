"""What a picture can be asked: a tree of three levels, in versions that are reviewed like code.

Version 1 is ``instructions.yaml``; each later version is a file ``v<N>.yaml`` beside it that says what
changed and why. Nothing is deleted: a leaf that was merged stays known as another name of the one it went
into, and a retired one is known to be retired, so that labels of earlier versions can be read for ever.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Final, Literal, TypeVar

import blake3
from pydantic import BaseModel, ConfigDict, Field

from infinity_assets.errors import CatalogueError
from infinity_assets.yaml_file import read_or_refuse

FOLDER: Final = Path(__file__).parent
_CHANGES = re.compile(r"v(\d+)\.yaml")
_Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=64)]
_Label = Annotated[str, Field(min_length=1, max_length=80)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


M = TypeVar("M", bound=_Model)


class _LeafFile(_Model):
    zh: _Label
    aliases: list[_Label] = Field(default_factory=list)
    domain: _Name | None = None  #: of mminstruct.yaml, where the group's does not fit


class _GroupFile(_Model):
    zh: _Label
    published: int = Field(default=0, ge=0)  #: labels that the paper prints in this group
    mmbench: _Name
    domain: _Name
    leaves: dict[_Name, _LeafFile] = Field(min_length=1)


class _TopFile(_Model):
    zh: _Label
    difficulty: int = Field(ge=1, le=9)  #: easy to hard, for the order of a merged conversation
    groups: dict[_Name, _GroupFile] = Field(min_length=1)


class _TreeFile(_Model):
    name: _Name
    version: Literal[1]
    tree: dict[_Name, _TopFile] = Field(min_length=1)


class Change(_Model):
    """One reviewed step: a leaf is proposed, merged into another, or retired."""

    action: Literal["propose", "merge", "retire"]
    leaf: _Name
    into: _Name | None = None  #: merge: the leaf that takes its labels
    group: _Name | None = None  #: propose: where it belongs
    zh: _Label | None = None  #: propose: its Chinese name
    aliases: list[_Label] = Field(default_factory=list)  #: propose: other names
    reason: _Label
    reviewer: _Label  #: who agreed: a team or a handle


class _ChangesFile(_Model):
    name: _Name
    version: int = Field(ge=2)
    changes: list[Change] = Field(min_length=1)


class _MMBenchFile(_Model):
    name: _Name
    version: int
    tree: dict[_Name, dict[_Name, list[_Name]]]


class _MMInstructFile(_Model):
    name: _Name
    version: int
    domains: list[_Name]
    further: list[_Name]


@dataclass(frozen=True, slots=True)
class Leaf:
    """One kind of instruction, the third level."""

    name: str
    l1: str
    l2: str
    zh: str
    aliases: tuple[str, ...]
    mmbench: str  #: nearest of MMBench's 20 abilities
    domain: str  #: nearest of MMInstruct's 24 domains
    difficulty: int  #: 1 (look) to 5 (reason)

    @property
    def title(self) -> str:
        """The English name as words."""
        return self.name.replace("_", " ")


@dataclass(frozen=True)
class Taxonomy:
    """The leaves of one version, in the order of the tree, and how labels lead to them."""

    name: str
    version: int
    leaves: Mapping[str, Leaf]
    retired: frozenset[str]  #: leaves of earlier versions that nothing leads to any more
    published: Mapping[str, int]  #: labels that the paper prints, by group

    @property
    def label(self) -> str:
        """Name and version, as tables state them."""
        return f"{self.name}@{self.version}"

    @functools.cached_property
    def hash(self) -> str:
        """32 hex characters of everything that decides which leaf a label leads to."""
        told = [(f.name, f.l1, f.l2, f.aliases, f.difficulty) for f in self.leaves.values()]
        return blake3.blake3(repr((self.label, told, sorted(self.retired))).encode()).hexdigest(length=16)

    @functools.cached_property
    def _by_label(self) -> Mapping[str, str]:
        return {_plain(a): f.name for f in self.leaves.values() for a in (*f.aliases, f.name)}

    def resolve(self, label: str) -> str | None:
        """The leaf that a label (a leaf, an alias, a leaf of an earlier version) leads to; None if none."""
        return self._by_label.get(_plain(label))

    def group(self, l2: str) -> list[Leaf]:
        """Leaves of a group, in order."""
        return [leaf for leaf in self.leaves.values() if leaf.l2 == l2]


def load_taxonomy(folder: Path = FOLDER, version: int | None = None) -> Taxonomy:
    """A version of the tree; the latest if None.

    Raises:
        CatalogueError: names file, line and what is wrong: a name given twice, a change of a leaf that is not
            there, a gap in the versions, an unknown ability or domain.
    """
    return _load(folder, version)


@functools.cache
def _load(folder: Path, version: int | None) -> Taxonomy:
    tree = _base(folder)
    files = {int(m[1]): p for p in folder.glob("v*.yaml") if (m := _CHANGES.fullmatch(p.name))}
    last = max(files, default=1) if version is None else version
    for number in range(2, last + 1):
        if number not in files:
            raise CatalogueError(f"{folder}/v{number}.yaml: missing; versions follow one another without gap")
        tree = changed(tree, read_changes(files[number]), str(files[number]))
        if tree.version != number:
            raise CatalogueError(f"{files[number]}: states version {tree.version}; it must state {number}")
    return tree


def read_changes(path: Path) -> tuple[int, Sequence[Change]]:
    """The version that a file of changes makes, and the changes.

    Raises:
        CatalogueError: if the file is missing or wrong; the message names file, line and field.
    """
    found = _read(path, _ChangesFile)
    return found.version, found.changes


def changed(tree: Taxonomy, changes: tuple[int, Sequence[Change]], file: str) -> Taxonomy:
    """The next version of a tree.

    Args:
        tree: the version before.
        changes: the new version's number and its changes, applied in order.
        file: how errors name them.

    Raises:
        CatalogueError: if a change does not fit the tree.
    """
    version, steps = changes
    for number, step in enumerate(steps, start=1):
        try:
            tree = _step(tree, step)
        except ValueError as error:
            raise CatalogueError(f"{file}: change {number} ({step.action} {step.leaf}): {error}") from error
    return replace(tree, version=version)


def differences(old: Taxonomy, new: Taxonomy) -> list[str]:
    """What a newer version changes, one line each: leaves added, merged, retired."""
    lines = [f"+ {leaf.l2}/{leaf.name}" for leaf in new.leaves.values() if leaf.name not in old.leaves]
    for leaf in old.leaves.values():
        if leaf.name not in new.leaves:
            into = new.resolve(leaf.name)
            lines.append(f"- {leaf.l2}/{leaf.name}" + (f" -> {into}" if into else " (retired)"))
    return lines


def _step(tree: Taxonomy, step: Change) -> Taxonomy:
    leaves = dict(tree.leaves)
    if step.action == "propose":
        beside = tree.group(step.group or "")
        if not beside or step.zh is None:
            raise ValueError("give `group` (one that exists) and `zh`")
        new = replace(beside[0], name=step.leaf, zh=step.zh, aliases=tuple(step.aliases))
        taken = [a for a in (step.leaf, *step.aliases) if tree.resolve(a) or a in tree.retired]
        if taken:
            raise ValueError(f"{taken[0]!r} is known already")
        return replace(tree, leaves={**leaves, step.leaf: new})
    if step.leaf not in leaves:
        raise ValueError("there is no such leaf")
    gone = leaves.pop(step.leaf)
    if not any(leaf.l2 == gone.l2 for leaf in leaves.values()):
        raise ValueError(f"group {gone.l2} would be left without a leaf")
    if step.action == "retire":
        return replace(tree, leaves=leaves, retired=tree.retired | {gone.name})
    if step.into not in leaves:
        raise ValueError(f"`into` names {step.into!r}, which is no leaf")
    into = leaves[step.into]
    return replace(
        tree, leaves={**leaves, into.name: replace(into, aliases=(*into.aliases, gone.name, *gone.aliases))}
    )


def _base(folder: Path) -> Taxonomy:
    path = folder / "instructions.yaml"
    found = _read(path, _TreeFile)
    abilities = {a for tops in mmbench(folder).values() for names in tops.values() for a in names}
    domains = set(mminstruct(folder))
    leaves: dict[str, Leaf] = {}
    for l1, top in found.tree.items():
        for l2, group in top.groups.items():
            if group.mmbench not in abilities:
                raise CatalogueError(f"{path}: group {l2}: {group.mmbench!r} is not in mmbench.yaml")
            for name, leaf in group.leaves.items():
                domain = leaf.domain or group.domain
                if domain not in domains:
                    raise CatalogueError(f"{path}: leaf {name}: {domain!r} is not in mminstruct.yaml")
                if name in leaves:
                    raise CatalogueError(f"{path}: leaf {name} stands in two groups")
                leaves[name] = Leaf(
                    name, l1, l2, leaf.zh, tuple(leaf.aliases), group.mmbench, domain, top.difficulty
                )
    labels = [a for leaf in leaves.values() for a in {_plain(b) for b in (leaf.name, *leaf.aliases)}]
    twice = sorted({a for a in labels if labels.count(a) > 1})
    if twice:
        raise CatalogueError(f"{path}: {twice[0]!r} leads to two leaves; a label belongs to one")
    published = {l2: g.published for top in found.tree.values() for l2, g in top.groups.items()}
    return Taxonomy(found.name, 1, leaves, frozenset(), published)


def mmbench(folder: Path = FOLDER) -> Mapping[str, Mapping[str, Sequence[str]]]:
    """MMBench's three levels: 2, 6 and 20 abilities."""
    return _read(folder / "mmbench.yaml", _MMBenchFile).tree


def mminstruct(folder: Path = FOLDER) -> Sequence[str]:
    """MMInstruct's 24 domains, and the further one of its seed folder."""
    found = _read(folder / "mminstruct.yaml", _MMInstructFile)
    return [*found.domains, *found.further]


def _plain(label: str) -> str:
    return " ".join(label.casefold().replace("_", " ").split())


def _read(path: Path, model: type[M]) -> M:
    return read_or_refuse(path, "taxonomy", model.model_validate)
