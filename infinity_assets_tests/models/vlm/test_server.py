"""A server of our own ends when it should, with all that it started, and not before."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from infinity_assets.models.vlm.ask import complete_all
from infinity_assets.models.vlm.cache import ReplyCache
from infinity_assets.models.vlm.config import EngineConfig
from infinity_assets.models.vlm.engine import EngineError
from infinity_assets.models.vlm.own import OwnServerEngine
from infinity_assets.models.vlm.server import LocalServer, vllm_server
from infinity_assets.store.objects import Objects
from infinity_assets_tests.models.vlm.asking import question
from infinity_assets_tests.processes import children, gone, group

#: A chat server that starts a process of its own, and dies of a question about poison.
SERVER = """
import os, subprocess, sys
from infinity_assets.models.vlm.fake import FakeServer, Fault
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
def fault_for(body):
    return Fault(die=True) if "poison" in str(body["messages"]) else Fault(delay_s=0.01)
server = FakeServer(fault_for=fault_for, port=int(sys.argv[sys.argv.index("--port") + 1]))
server.serve()
os._exit(1)
"""
OWNER = """
import sys, time
from pathlib import Path
from infinity_assets.models.vlm.server import LocalServer
server = LocalServer([sys.executable, "-c", sys.argv[1]], Path(sys.argv[2]))
server.start()
print(server.pid, flush=True)
time.sleep(100)
"""


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_server_ends_with_its_owner_however_that_ends(tmp_path: Path, ending: signal.Signals) -> None:
    command = [sys.executable, "-c", OWNER, SERVER, str(tmp_path / "log")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as owner:
        assert owner.stdout is not None
        leader = int(owner.stdout.readline())
        assert len(group(leader)) == 3, "keeper, server and what the server started"
        owner.send_signal(ending)
    assert gone(leader)


def test_a_server_takes_what_it_started_along_and_outlives_the_thread_that_started_it(tmp_path: Path) -> None:
    server = LocalServer([sys.executable, "-c", SERVER], tmp_path / "log")
    thread = threading.Thread(target=server.start)
    thread.start()
    thread.join()
    time.sleep(0.3)
    first = server.pid
    assert first is not None and server.alive()
    server.restart()
    second = server.pid
    assert second is not None and gone(first)
    os.kill(children(second)[0], signal.SIGKILL)
    assert gone(second), "what a dead server leaves behind"
    assert not server.alive()
    server.stop()


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    server = LocalServer([sys.executable, "-c", "raise SystemExit('no such model')"], tmp_path / "log")
    with pytest.raises(EngineError, match="no such model"):
        server.start()
    assert server.pid is None
    with pytest.raises(EngineError, match="make vllm"):
        vllm_server(tmp_path / "python", "model", tmp_path / "log")


def test_the_request_that_kills_the_server_is_found_out_and_the_others_are_answered(tmp_path: Path) -> None:
    server = LocalServer([sys.executable, "-c", SERVER], tmp_path / "log")
    config = EngineConfig(engine="vllm", model="toy", concurrency=8, restart_every=40)
    asked = [question("poison" if number == 5 else str(number)) for number in range(60)]
    with server:
        engine = OwnServerEngine(config, server)
        replies = complete_all(engine, asked, concurrency=8)
    problems = [reply.problem for reply in replies]
    assert problems[5] == "engine_died"
    assert problems.count(None) == 59
    assert 3 <= engine.restarts <= 5, "three deaths, and once after every forty requests"


def test_a_server_that_always_dies_is_an_error_of_the_environment(tmp_path: Path) -> None:
    server = LocalServer([sys.executable, "-c", SERVER], tmp_path / "log")
    asked = [question(f"poison {number}") for number in range(20)]
    with server, pytest.raises(EngineError, match="in a row"):
        complete_all(OwnServerEngine(EngineConfig(engine="vllm", model="toy"), server), asked, concurrency=4)


def test_a_server_starts_with_the_first_request_that_is_not_kept(tmp_path: Path) -> None:
    """Lost otherwise: minutes of a GPU for a rerun that asks nothing."""
    server = LocalServer([sys.executable, "-c", SERVER], tmp_path / "log")
    engine = OwnServerEngine(EngineConfig(engine="vllm", model="toy"), server)
    cache = ReplyCache(Objects(str(tmp_path / "store")))
    try:
        complete_all(engine, [], cache=cache)
        assert server.pid is None
        complete_all(engine, [question()], cache=cache)
        assert server.alive() and engine.restarts == 0
    finally:
        server.stop()
    (kept,) = complete_all(engine, [question()], cache=cache)
    assert kept.cached and server.pid is None


def test_who_asks_while_a_server_starts_waits_for_it(tmp_path: Path) -> None:
    """Else whoever came while the process was there already started it a second time when it failed."""
    code = "import time; time.sleep(1); raise SystemExit('no such model')"
    server = LocalServer([sys.executable, "-c", code], tmp_path / "log")

    async def ask() -> list[object]:
        async with OwnServerEngine(EngineConfig(engine="vllm", model="toy"), server) as engine:
            first = asyncio.ensure_future(engine.complete(question("first")))
            while server.pid is None:
                await asyncio.sleep(0.01)
            late = engine.complete(question("late"))
            return list(await asyncio.gather(first, late, return_exceptions=True))

    for told in asyncio.run(ask()):
        assert isinstance(told, EngineError) and "no such model" in str(told)
    assert (tmp_path / "log").read_text().count("no such model") == 1


def test_a_server_that_does_not_start_is_tried_once_for_all_who_ask(tmp_path: Path) -> None:
    server = LocalServer([sys.executable, "-c", "raise SystemExit('no such model')"], tmp_path / "log")
    engine = OwnServerEngine(EngineConfig(engine="vllm", model="toy"), server)
    with pytest.raises(EngineError, match="no such model"):
        complete_all(engine, [question(str(number)) for number in range(20)])
    assert (tmp_path / "log").read_text().count("no such model") == 1
