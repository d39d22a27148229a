"""``python -m infinity_assets.dashboard``: the pages on this machine, unless told otherwise, until Ctrl-C."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

#: Said on the command line, where nothing that lies in a home or working folder takes them back.
SETTINGS = {
    "browser.gatherUsageStats": "false",
    "client.toolbarMode": "minimal",
    "global.developmentMode": "false",
    "server.fileWatcherType": "none",
    "server.headless": "true",
    "server.maxUploadSize": "1",
}


def command(host: str, port: int) -> list[str]:
    """What starts the server."""
    program = [sys.executable, "-m", "streamlit", "run", str(Path(__file__).with_name("app.py"))]
    settings = SETTINGS | {"server.address": host, "server.port": str(port)}
    return [*program, *(f"--{name}={value}" for name, value in settings.items())]


def main() -> None:
    """Become the server."""
    parser = argparse.ArgumentParser(description="Serve the dashboard over the last snapshot.")
    parser.add_argument("--home", type=Path, default=Path(os.environ.get("INFINITY_HOME", "infinity_home")))
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=3002)
    arguments = parser.parse_args()
    os.environ["INFINITY_HOME"] = str(arguments.home.absolute())
    root = str(Path(__file__).parents[2])
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    told = command(arguments.host, arguments.port)
    os.execv(told[0], told)


if __name__ == "__main__":
    main()
