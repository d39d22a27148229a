"""A chat server without a model, over real HTTP, that fails on demand: for tests and benchmarks.

In this process (``with FakeServer() as server``) or in one of its own, which tests can kill:
``python -m infinity_assets.models.vlm.fake``; its first line of output is its address.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import orjson
from blake3 import blake3


@dataclass(frozen=True, slots=True)
class Fault:
    """How one request goes wrong; every field is one way, and they combine."""

    status: int = 200
    retry_after: str | None = None
    delay_s: float = 0.0
    reset: bool = False  #: the connection is reset without a reply
    cut: bool = False  #: half of the body, then the end
    text: str | None = None  #: this text instead of the answer
    refusal: str | None = None
    finish_reason: str = "stop"
    echo_key: bool = False  #: repeats the Authorization header, as some servers do
    die: bool = False  #: the whole server stops


Answer = Callable[[Mapping[str, Any]], str]


def plausible(body: Mapping[str, Any]) -> str:
    """A text, or the smallest value of the schema that was asked for; the same for the same body."""
    schema = (body.get("response_format") or {}).get("json_schema", {}).get("schema")
    seed = blake3(orjson.dumps(body)).hexdigest(length=4)
    return f"fake {seed}" if schema is None else orjson.dumps(_instance(schema, seed)).decode()


def _instance(schema: Mapping[str, Any], seed: str) -> Any:
    if "enum" in schema:
        return schema["enum"][int(seed, 16) % len(schema["enum"])]
    match schema.get("type"):
        case "object":
            return {key: _instance(of, seed) for key, of in schema.get("properties", {}).items()}
        case "array":
            return [_instance(schema.get("items", {}), seed)] * max(1, schema.get("minItems", 1))
        case "integer" | "number":
            least = schema.get("minimum", 0)
            return least + int(seed, 16) % (schema.get("maximum", least) - least + 1)
        case "boolean":
            return int(seed, 16) % 2 == 0
        case _:
            return f"fake {seed}"


class FakeServer:
    """Serves on 127.0.0.1, on a free port unless one is given. Faults are used up as requests arrive.

    ``fault_for`` decides by the body instead: for a request that fails each time.
    """

    def __init__(
        self,
        answer: Answer = plausible,
        faults: Iterable[Fault | None] = (),
        fault_for: Callable[[Mapping[str, Any]], Fault | None] = lambda body: None,
        fixed: bytes | None = None,
        port: int = 0,
    ) -> None:
        """``fixed`` is one body for all requests, unread: as fast a server as can be."""
        self._answer, self._faults, self._fault_for = answer, iter(faults), fault_for
        self._fixed = fixed
        self.requests: list[dict[str, Any]] = []  #: bodies, in order of arrival
        self.connections = 0  #: made since the start
        self.open: set[_Connection] = set()
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._listener = socket.create_server(("127.0.0.1", port), backlog=1024)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self.serve, daemon=True)
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        if self._loop.is_running():
            self._loop.call_soon_threadsafe(self._loop.stop)
        if self._thread is not None:
            self._thread.join(10)

    def serve(self) -> None:
        """Serve until told to stop."""
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            self._loop.create_server(lambda: _Connection(self), sock=self._listener)
        )
        self._loop.call_soon(self._ready.set)
        self._loop.run_forever()
        server.close()
        for connection in self.open:
            connection.transport.abort()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()

    async def respond(self, connection: _Connection, headers: bytes, raw: bytes) -> None:
        """Answer one request, or fail at it."""
        body: dict[str, Any] = orjson.loads(raw)
        self.requests.append(body)
        fault = next(self._faults, None) or self._fault_for(body) or Fault()
        if fault.delay_s:
            await asyncio.sleep(fault.delay_s)
        if fault.die:
            self._loop.stop()
        if fault.reset or fault.die:
            connection.transport.abort()
        elif fault.status != 200:
            told = headers.decode("latin-1") if fault.echo_key else "a fault on demand"
            more = f"Retry-After: {fault.retry_after}\r\n" if fault.retry_after else ""
            connection.send(fault.status, orjson.dumps({"error": {"message": told}}), more)
        else:
            connection.send(200, self._completion(body, fault), cut=fault.cut)

    def _completion(self, body: Mapping[str, Any], fault: Fault) -> bytes:
        text = fault.text if fault.text is not None else self._answer(body)
        message = {"role": "assistant", "content": None if fault.refusal else text, "refusal": fault.refusal}
        choice: dict[str, Any] = {"index": 0, "message": message, "finish_reason": fault.finish_reason}
        if body.get("logprobs"):
            top = [{"token": text, "logprob": -0.25}] * int(body.get("top_logprobs") or 0)
            choice["logprobs"] = {"content": [{"token": text, "logprob": -0.25, "top_logprobs": top}]}
        answer: dict[str, Any] = {
            "id": "fake",
            "object": "chat.completion",
            "model": body.get("model"),
            "choices": [choice],
            "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
        }
        if body.get("prompt_logprobs") is not None:
            words = str(body["messages"][-1]["content"]).split(" ")
            tokens = [word if number == 0 else f" {word}" for number, word in enumerate(words)]
            answer["prompt_logprobs"] = [None] + [
                {str(number): {"logprob": -0.5, "rank": 1, "decoded_token": token}}
                for number, token in enumerate(tokens)
            ]
        return orjson.dumps(answer)


class _Connection(asyncio.Protocol):
    """One connection of HTTP/1.1: requests with a Content-Length, one after another."""

    transport: asyncio.Transport

    def __init__(self, server: FakeServer) -> None:
        self._server = server
        self._head, self._parts, self._missing = b"", list[bytes](), -1
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self._server.connections += 1
        self._server.open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.open.discard(self)

    def data_received(self, data: bytes) -> None:
        if self._missing < 0:
            self._head += data
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                return
            data, self._head = self._head[end + 4 :], self._head[:end]
            lengths = [
                line for line in self._head.split(b"\r\n") if line.lower().startswith(b"content-length:")
            ]
            self._missing = int(lengths[0].split(b":")[1]) if lengths else 0
        self._parts.append(data)
        self._missing -= len(data)
        if self._missing <= 0:
            head, parts = self._head, self._parts
            self._head, self._parts, self._missing = b"", [], -1
            if self._server._fixed is not None:
                self.send(200, self._server._fixed)
            elif not head.startswith(b"POST "):
                self.send(200, b"{}")
            else:
                task = self._server._loop.create_task(self._server.respond(self, head, b"".join(parts)))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    def send(self, status: int, body: bytes, more: str = "", cut: bool = False) -> None:
        """Write one reply; ``cut`` writes half of it and closes."""
        kind = "Content-Type: application/json\r\n"
        head = f"HTTP/1.1 {status} X\r\n{kind}{more}Content-Length: {len(body)}\r\n\r\n"
        self.transport.write(head.encode("latin-1") + (body[: len(body) // 2] if cut else body))
        if cut:
            self.transport.close()


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description="A chat server without a model.")
    parser.add_argument("--fixed", action="store_true", help="the same answer to every request, unread")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds before each answer")
    arguments = parser.parse_args()
    fixed = FakeServer()._completion({}, Fault(text='{"answer": "fake"}')) if arguments.fixed else None
    delayed = Fault(delay_s=arguments.delay)
    server = FakeServer(fixed=fixed, fault_for=lambda body: delayed)
    print(server.url, flush=True)
    server.serve()


if __name__ == "__main__":
    main()
