"""Every command and snippet of the documentation is run, in its order, over a small ``demo_home``."""

from __future__ import annotations

import os
import random
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import typer.main
import yaml
from typer.testing import CliRunner

from infinity_assets.cli import app
from infinity_assets.demo.catalogue import write_catalogue
from infinity_assets.demo.parts import Picture
from infinity_assets.demo.sources import BUILDERS
from infinity_assets.demo.writers import write_source
from infinity_assets_tests.docs.pages import PAGES, ROOT, Block, blocks, commands, missing_line

#: Commands that are not run here, and why. ``make ...`` is looked up in the Makefile.
NOT_RUN: Mapping[str, str] = {
    "make demo": "a minute of work; the home below is a part of it, and its own tests cover the rest",
    "make test": "this test is a part of it",
    "make quality": "builds an environment; .ci/run builds it before the tests of marts",
    "infinity quality": "needs dbt; test_asset.py runs the same through Dagster",
    "make ui": "serves until Ctrl-C; test_ui.py starts and stops it",
    "make dashboard": "serves until Ctrl-C; dashboard/test_browser.py starts and stops it",
    "infinity ui": "serves until Ctrl-C; test_ui.py starts and stops it",
    "infinity price": "needs a model; test_price.py asks a server without one",
    ". .venv/bin/activate": "the tests run in such an environment",
}
DEMO_RUN = ["run", "--home", "demo_home", "--catalogue", "demo_home/sources/catalogue"]
DEMO_RUN += ["--mixes", "demo_home/sources/mixes/demo.yaml"]


def infinity(arguments: list[str]) -> tuple[int, str]:
    """Run ``infinity ...`` in this process: what the console script does, without a new interpreter."""
    result = CliRunner().invoke(app, arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout + result.stderr


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ``demo_home`` with two of the demo's sources, few samples, some defects, one training stage."""
    folder = tmp_path_factory.mktemp("docs")
    sources = folder / "demo_home" / "sources"
    drawn = {}
    for name, size in (("demo_scenes_llava", 24), ("demo_text_alpaca", 12)):
        drawn[name] = BUILDERS[name](random.Random(f"7/{name}"))[:size]
    scenes = drawn["demo_scenes_llava"]
    scenes.append(scenes[0].copy("scene_copy"))
    scenes[2] = replace(scenes[2], turns=[(scenes[2].turns[0]), ("assistant", "")])
    scenes[3] = replace(scenes[3], pictures=[Picture(scenes[3].pictures[0].name, None)])
    for name, samples in drawn.items():
        write_source(name, samples, sources / name)
    write_catalogue(sources, drawn, 7)
    for path in (sources / "catalogue").glob("*.yaml"):
        path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"stages": ["4"]}))
    before = Path.cwd()
    os.chdir(folder)
    try:
        code, said = infinity(DEMO_RUN)
    finally:
        os.chdir(before)
    assert code == 0, said
    return folder


@pytest.fixture
def desk(published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a reader would sit: a folder with the demo's home, nothing else in the environment."""
    shutil.copytree(published, tmp_path, symlinks=True, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    for name in [n for n in os.environ if n.startswith("INFINITY_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


def write_file(block: Block, where: str) -> None:
    name = re.match(r"# (\S+\.yaml)\n", block.text)
    assert name, f"{where}: a YAML block begins with its file's name as a comment"
    path = Path(name[1])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(block.text)


def run_python(block: Block, page: Path) -> None:
    source = "\n" * (block.line - 1) + block.text  # so that a traceback names the page's own line
    exec(compile(source, page.name, "exec"), {"__name__": "__main__"})


def run_console(block: Block, page: Path) -> None:
    for command in commands(block):
        where = f"{page.name}:{command.line}"
        if any(command.text == known or command.text.startswith(f"{known} ") for known in NOT_RUN):
            continue
        words = shlex.split(command.text)
        if words[0] == "infinity" and not {">", "|"} & set(words) and "$(" not in command.text:
            code, said = infinity(words[1:])
        else:
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", command.text],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
            code, said = done.returncode, done.stdout
        assert code == 0, f"{where}: {command.text}\n{said}"
        missing = missing_line(command.output, said)
        assert missing is None, f"{where}: the output has no line {missing!r}\n{said}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_what_a_page_says_works(page, desk):
    """Lost otherwise: a reader who pastes a command and gets an error, or not what the page shows."""
    for block in blocks(page):
        if block.kind == "yaml":
            write_file(block, f"{page.name}:{block.line}")
        elif block.kind == "python":
            run_python(block, page)
        elif block.kind == "console":
            run_console(block, page)
        else:
            assert block.kind in {"text", ""}, f"{page.name}:{block.line}: unknown kind {block.kind!r}"


def test_commands_that_are_not_run_exist():
    """Lost otherwise: a command that no test runs and that is gone."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        text = page.read_text("utf-8")
        for target in re.findall(r"(?:^\$ |`)make ([a-z]+)", text, re.MULTILINE):
            assert target in targets, f"{page.name}: make {target}"
        for module in re.findall(r"python -m (benchmarks\.\w+)", text):
            assert (ROOT / f"{module.replace('.', '/')}.py").exists(), f"{page.name}: {module}"
    assert {name.removeprefix("make ") for name in NOT_RUN if name.startswith("make ")} <= targets


def test_every_infinity_command_has_the_options_that_pages_give_it():
    """Lost otherwise: an option in a sentence or in a command that serves for ever, which is not run."""
    (script,) = entry_points(group="console_scripts", name="infinity")
    assert script.load() is app
    known = typer.main.get_command(app)
    for page in PAGES:
        for line in re.findall(r"(?:^\$ |`)(infinity [a-z][^`\n]*)", page.read_text("utf-8"), re.MULTILINE):
            words = shlex.split(line.split(">")[0])[1:]
            command = known
            while words and words[0] in getattr(command, "commands", {}):
                command = command.commands[words.pop(0)]
            options = {name for parameter in command.params for name in parameter.opts}
            given = {w.split("=")[0] for w in words if w.startswith("--")}
            arguments = [p for p in command.params if p.param_type_name == "argument"]
            assert words == [] or given or arguments, f"{page.name}: {line}: no such command"
            assert given <= options, f"{page.name}: {line}: {sorted(given - options)}"
