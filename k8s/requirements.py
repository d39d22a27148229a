"""Requirements of the project and of its extras, one a line: an image has them before it has the code."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path


def requirements(names: list[str]) -> list[str]:
    """As ``pyproject.toml`` of the working folder has them.

    Args:
        names: of extras; ``project`` stands for what is always needed.

    Raises:
        KeyError: if there is no such extra.
    """
    project = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"] | {"project": project["dependencies"]}
    found = [line for name in names for line in extras[name]]
    if own := [line for line in found if re.match(rf"{project['name']}\b", line)]:
        raise KeyError(f"an extra of the project's own extras: {own}")
    return found


if __name__ == "__main__":
    print(*requirements(sys.argv[1:]), sep="\n")
