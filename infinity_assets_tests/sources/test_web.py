"""A file on the web is fetched from where a person said, whole, and from nowhere else."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from infinity_assets.errors import SourceError
from infinity_assets.sources import web
from infinity_assets.sources.web import ALLOW, WebRoot
from infinity_assets_tests.conftest import Site, ingest, jsonl, talk

BODY = jsonl([talk(1), talk(2)])


class Handler(BaseHTTPRequestHandler):
    """Good, redirecting, lying and endless answers by path."""

    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.answer(head=True)

    def do_GET(self) -> None:
        self.answer(head=False)

    def answer(self, head: bool) -> None:
        path = self.path.partition("?")[0]
        if path.startswith("/away"):
            self.send_response(302)
            self.send_header("Location", "/good.jsonl")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if path.startswith("/gone"):
            self.send_error(404)
            return
        self.send_response(200)
        if path.startswith("/cut"):
            self.send_header("Content-Length", str(len(BODY) + 100))
        elif not path.startswith("/open"):
            self.send_header("Content-Length", str(len(BODY)))
        self.send_header("Connection", "close")
        self.end_headers()
        if not head:
            self.wfile.write(BODY)
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
def server() -> Iterator[str]:
    """A web server on this machine; gives its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


@pytest.fixture
def exempt(monkeypatch: pytest.MonkeyPatch, server: str) -> str:
    """The same server, listed as one that may be private and speak plain http."""
    monkeypatch.setenv(ALLOW, "example.org,127.0.0.1")
    return server


def fetch(url: str) -> bytes:
    root = WebRoot(url)
    with root.open(root.name) as stream:
        return stream.read()


def test_plain_http_is_refused_and_the_message_names_the_way_out(server: str) -> None:
    with pytest.raises(SourceError, match=rf"only https is fetched; {ALLOW} lists"):
        WebRoot(f"{server}/good.jsonl")


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "169.254.169.254", "192.168.0.1", "0.0.0.0", "100.64.0.1", "::1", "fe80::1"]
    + ["fc00::1", "::ffff:127.0.0.1", "2002:7f00:1::"],
)
def test_a_name_that_leads_to_a_private_address_is_never_connected_to(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, 443)) for ip in ("93.184.215.14", address)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)

    def connect(*_: Any, **__: Any) -> Any:
        raise AssertionError("connected")

    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(SourceError, match="is not public"):
        fetch("https://rebound.example.org/a.jsonl")


def test_the_address_that_was_checked_is_the_one_that_is_connected_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    public = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.215.14", 443))]
    connected: list[Any] = []

    def connect(address: Any, **_: Any) -> Any:
        connected.append(address)
        raise OSError("stop here")

    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: public)
    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(SourceError, match="stop here"):
        fetch("https://example.org/a.jsonl")
    assert connected == [("93.184.215.14", 443)]


def test_a_redirect_and_a_missing_file_are_refused(exempt: str) -> None:
    with pytest.raises(SourceError, match="answered 302; redirects are not followed"):
        fetch(f"{exempt}/away.jsonl")
    with pytest.raises(SourceError, match="answered 404"):
        list(WebRoot(f"{exempt}/gone.jsonl").list())


def test_a_download_that_is_cut_off_is_never_taken_for_the_whole_file(exempt: str) -> None:
    with pytest.raises(SourceError, match="cut off after"):
        fetch(f"{exempt}/cut.jsonl")
    assert fetch(f"{exempt}/open.jsonl") == BODY, "a server that tells no length is fine"


def test_a_file_over_the_limit_is_refused(exempt: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "MAX_BYTES", 10)
    with pytest.raises(SourceError, match="more than 10 bytes; download it"):
        fetch(f"{exempt}/good.jsonl")


def test_an_exempt_server_is_a_source_like_any_other(exempt: str, site: Site, in_process: list[str]) -> None:
    site.add("web", {}, location=f"{exempt}/good.jsonl?token=1")
    _, unified = ingest(site.platform(), "web")
    assert unified.counts.kept == 2
    assert not any(result.committed for result in ingest(site.platform(), "web"))
