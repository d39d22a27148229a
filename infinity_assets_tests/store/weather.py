"""A proxy before an S3 server that answers as one in trouble does: throttled, or with expired credentials."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

ERROR = "<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"


class Weather:
    """What the proxy answers instead of passing a request on."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.url = ""
        self.refused = 0  #: requests
        self._rest = 0
        self._answer = (200, "", "")

    def refuse(self, times: int, status: int, code: str, message: str) -> None:
        """Answer so many of the next requests with an error."""
        with self.lock:
            self.refused, self._rest, self._answer = 0, times, (status, code, message)

    def take(self) -> tuple[int, str, str] | None:
        with self.lock:
            if self._rest <= 0:
                return None
            self._rest -= 1
            self.refused += 1
            return self._answer


@contextmanager
def weather(server: str) -> Iterator[Weather]:
    """The proxy, running."""
    state, target = Weather(), urlsplit(server).netloc

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            refused = state.take()
            if refused is not None:
                status, code, message = refused
                said = ERROR.format(code=code, message=message).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/xml")
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(said)
                return
            connection = http.client.HTTPConnection(target, timeout=60)
            connection.request(self.command, self.path, body, dict(self.headers))
            response = connection.getresponse()
            data = response.read()
            self.send_response(response.status)
            for name, value in response.getheaders():
                if name.lower() not in {"transfer-encoding", "connection", "content-length"}:
                    self.send_header(name, value)
            length = response.getheader("Content-Length") if self.command == "HEAD" else str(len(data))
            self.send_header("Content-Length", length or "0")
            self.end_headers()
            self.wfile.write(data)
            connection.close()

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = answer

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        state.url = f"http://127.0.0.1:{proxy.server_port}"
        yield state
        proxy.shutdown()
