"""What ``make ui`` runs: Dagster's UI with its daemon, and the sample pages beside it, until Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType

from infinity_assets.orchestration.instance import instance_folder

WORKSPACE = Path(__file__).resolve().parent.parent / "workspace.yaml"
PATIENCE = 25.0  #: seconds that a server gets to stop after it was asked


def serve(home: Path, catalogue: Path, mixes: Path | None, host: str, port: int, preview_port: int) -> int:
    """Start both servers and wait; stop both when one ends or this process is told to.

    There is no password: on any address but this machine's own, everyone who reaches it may start runs.

    Args:
        home: folder of tables, exports and Dagster's records.
        catalogue: folder of source files.
        mixes: mix file; ``mixes.yaml`` of the catalogue by default.
        host: address to listen on.
        port: of Dagster's pages.
        preview_port: of the sample pages.

    Returns:
        0 if it was told to stop, else the code of the server that ended by itself.
    """
    asked: list[int] = []  # no Event: a handler that is interrupted by another signal would wait for itself

    def told(signum: int, frame: FrameType | None) -> None:
        asked.append(signum)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, told)
    environment = _environment(home, catalogue, mixes, host, port, preview_port)
    commands = _commands(host, port, preview_port)
    # Sessions of their own: Ctrl-C reaches this process alone, which then asks each server once. Asked twice,
    # `dagster dev` waits forever for children that ignore it.
    running = [subprocess.Popen(c, env=environment, start_new_session=True) for c in commands]
    samples = f"http://{host}:{preview_port}"
    print(
        f"Dagster  http://{host}:{port}\nsamples  {samples} (search: {samples}/explore)\nCtrl-C stops both",
        flush=True,
    )
    try:
        while not asked:
            time.sleep(0.3)
            ended = [p.returncode for p in running if p.poll() is not None]
            if ended and not asked:
                return ended[0] or 1
        return 0
    finally:
        _stop(running)


def _commands(host: str, port: int, preview_port: int) -> list[list[str]]:
    module = ["-m", "infinity_assets.definitions"]
    location = ["-w", str(WORKSPACE)] if WORKSPACE.exists() else module
    python = [sys.executable, "-m"]
    return [
        [*python, "dagster", "dev", *location, "--host", host, "--port", str(port)],
        [*python, "infinity_assets.preview", "--host", host, "--port", str(preview_port)],
    ]


def _environment(
    home: Path, catalogue: Path, mixes: Path | None, host: str, port: int, preview_port: int
) -> dict[str, str]:
    shown = "127.0.0.1" if host in {"0.0.0.0", "::"} else host  # an address that a link can lead to
    settings = {
        "DAGSTER_HOME": str(instance_folder(home)),
        "INFINITY_HOME": str(home.absolute()),
        "INFINITY_CATALOGUE": str(catalogue.absolute()),
        "INFINITY_PREVIEW_URL": f"http://{shown}:{preview_port}",
        "INFINITY_DAGSTER_URL": f"http://{shown}:{port}",
    }
    if mixes is not None:
        settings["INFINITY_MIXES"] = str(mixes.absolute())
    return {**os.environ, **settings}


def _stop(running: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in running:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
    deadline = time.monotonic() + PATIENCE
    for process in running:
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(deadline - time.monotonic(), 0.1))
        # `dagster dev` may leave its code server behind: whatever is still in its session goes with it.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
