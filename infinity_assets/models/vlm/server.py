"""A server of our own on this machine: started, watched, and stopped with all that it started."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from infinity_assets.models.vlm.engine import EngineError

START_LIMIT_S = 600.0
STOP_LIMIT_S = 20.0
SHIM = Path(__file__).parent / "torch_without_cuda"

#: Runs between us and the server, and leads their group. Its input is a pipe that ends when our process does,
#: however that ends; then, and when the server dies, it ends the whole group. (A signal at the death of a
#: parent could come too early: for the kernel a parent is a thread.) Killed, it takes the server along.
_KEEPER = """
import ctypes, os, signal, subprocess, sys, threading
libc = ctypes.CDLL(None)
server = subprocess.Popen(
    sys.argv[1:], stdin=subprocess.DEVNULL, preexec_fn=lambda: libc.prctl(1, signal.SIGKILL, 0, 0, 0)
)
def watch():
    print("the server ended with", server.wait(), flush=True)
    os.killpg(0, signal.SIGKILL)
threading.Thread(target=watch).start()
sys.stdin.buffer.read()
os.killpg(0, signal.SIGKILL)
"""


class LocalServer:
    """A server process of the OpenAI protocol that listens on a free port of 127.0.0.1."""

    def __init__(self, command: Sequence[str], log: Path, environment: dict[str, str] | None = None) -> None:
        """``command`` gets ``--host`` and ``--port`` added."""
        self._command, self._log, self._environment = tuple(command), log, environment
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0

    @property
    def url(self) -> str:
        """Address of the running server, with ``/v1``."""
        return f"http://127.0.0.1:{self._port}/v1"

    @property
    def pid(self) -> int | None:
        """The process that keeps the server; also the number of its group."""
        return self._process.pid if self._process else None

    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start and wait until it is healthy.

        Raises:
            EngineError: it died or was not ready in time, with the end of its log.
        """
        self._port = _free_port()
        self._log.parent.mkdir(parents=True, exist_ok=True)
        command = [*self._command, "--host", "127.0.0.1", "--port", str(self._port)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _KEEPER, *command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,
            )
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise

    def _wait(self) -> None:
        assert self._process is not None
        until = time.monotonic() + START_LIMIT_S
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        while self._process.poll() is None:
            with suppress(OSError, urllib.error.URLError):
                opener.open(f"http://127.0.0.1:{self._port}/health", timeout=5).close()
                return
            if time.monotonic() > until:
                raise EngineError(f"the server was not ready after {START_LIMIT_S:.0f} s; see {self._log}")
            time.sleep(0.1)
        raise EngineError(f"the server died when it started: {_end_of(self._log)} (all of it in {self._log})")

    def stop(self) -> None:
        """Stop the server and everything that it started; it need not run."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            _to_children(process.pid, signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_LIMIT_S)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert process.stdin is not None
        process.stdin.close()

    def restart(self) -> None:
        """Stop what is left of it and start it again, on another port."""
        self.stop()
        self.start()


def vllm_server(python: Path, model: str, log: Path, arguments: Sequence[str] = ()) -> LocalServer:
    """vLLM serving one model.

    Raises:
        EngineError: there is no such environment.
    """
    if not python.exists():
        raise EngineError(f"no vLLM at {python}; run `make vllm`, or set INFINITY_VLLM_PYTHON to its Python")
    environment = os.environ | {
        # No key of ours is the server's business, and nothing is to be fetched or reported.
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "PYTHONPATH": str(SHIM),
    }
    environment.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    # The module, since `vllm serve` looks for a distribution named vllm; guidance, since the default grammar
    # lets raw control characters into strings.
    module = ("-m", "vllm.entrypoints.openai.api_server", "--structured-outputs-config.backend", "guidance")
    return LocalServer(
        (str(python), *module, "--model", model, "--served-model-name", model, *arguments), log, environment
    )


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _to_children(pid: int, number: int) -> None:
    with suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            os.kill(int(child), number)


def _end_of(log: Path) -> str:
    lines = [line for line in log.read_text("utf-8", "replace").splitlines() if line.strip()]
    return " | ".join(lines[-3:])[-600:]
