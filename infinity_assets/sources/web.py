"""One file on the web, fetched safely: public addresses only, no redirects, a limit on bytes.

The address is resolved once, checked, and then connected to as it was checked, so that a name cannot point
elsewhere in between. Only locations that a person wrote into the catalogue are fetched; addresses that stand
inside rows never are.
"""

from __future__ import annotations

import http.client
import ipaddress
import os
import socket
import ssl
import tempfile
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from infinity_assets.errors import SourceError
from infinity_assets.sources.listing import Listed

TIMEOUT_S = 60
MAX_BYTES = 64 * 2**30
CHUNK = 1 << 20
ALLOW = "INFINITY_ALLOW_HOSTS"  #: comma-separated hosts that may be private and may speak plain http


class Address:
    """A place on the web that a person named, and a connection to where it is, not to where it leads.

    Args:
        url: ``https``, or ``http`` to an exempt host.
        shown: what messages call it, where the address is a secret.
        timeout_s: of connecting, and of each read and write.

    Raises:
        SourceError: if it is no such address.
    """

    def __init__(self, url: str, shown: str | None = None, timeout_s: float = TIMEOUT_S) -> None:
        self.shown = shown or url
        self.timeout_s = timeout_s
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise SourceError(f"{self.shown}: not an address") from None
        self.host = parts.hostname or ""
        self.trusted = self.host in os.environ.get(ALLOW, "").split(",")
        if parts.scheme not in {"https", "http"} or (parts.scheme == "http" and not self.trusted):
            raise SourceError(f"{self.shown}: only https is fetched; {ALLOW} lists the hosts that are exempt")
        self.secure = parts.scheme == "https"
        self.port = port or (443 if self.secure else 80)
        self.target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self.path = parts.path

    def connect(self) -> http.client.HTTPConnection:
        """A connection to the address as it was checked.

        Raises:
            OSError: if it cannot be made.
            SourceError: if the host is not public.
        """
        plain = socket.create_connection((self._checked(), self.port), timeout=self.timeout_s)
        connection = http.client.HTTPConnection(self.host, self.port, timeout=self.timeout_s)
        if self.secure:
            plain = ssl.create_default_context().wrap_socket(plain, server_hostname=self.host)
        connection.sock = plain
        return connection

    def _checked(self) -> str:
        """The host's first address, if every one of them is public.

        Raises:
            SourceError: if any is private, loopback, link-local or otherwise reserved.
        """
        found = sorted(
            {str(i[4][0]) for i in socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)}
        )
        for address in found:
            ip = ipaddress.ip_address(address)
            inner = getattr(ip, "ipv4_mapped", None) or getattr(ip, "sixtofour", None) or ip
            if not self.trusted and not (ip.is_global and inner.is_global):
                raise SourceError(f"{self.shown}: {address} is not public; {ALLOW} lists exempt hosts")
        return found[0]


class WebRoot:
    """A root with a single file."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._address = Address(url)
        self.name = unquote(PurePosixPath(self._address.path).name) or "index"

    def list(self) -> Iterator[Listed]:
        """The file, with its size as the server tells it."""
        yield self.stat(self.name)

    def stat(self, path: str) -> Listed:
        """The file's size now, as the server tells it."""
        connection, response = self._request("HEAD")
        connection.close()
        return Listed(path, int(response.headers.get("Content-Length") or 0))

    def open(self, path: str) -> BinaryIO:
        """The file's bytes, spooled to an anonymous temporary file."""
        connection, response = self._request("GET")
        told = response.headers.get("Content-Length")
        spool = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
        size = 0
        try:
            while chunk := response.read(CHUNK):
                size += len(chunk)
                if size > MAX_BYTES:
                    raise SourceError(f"{self.url}: more than {MAX_BYTES} bytes; download it and use a path")
                spool.write(chunk)
            if told is not None and size != int(told):
                raise SourceError(f"{self.url}: cut off after {size} of {told} bytes; run again")
        except (OSError, http.client.HTTPException) as error:
            spool.close()
            raise SourceError(f"{self.url}: cut off after {size} bytes: {error}; run again") from error
        except SourceError:
            spool.close()
            raise
        finally:
            connection.close()
        spool.seek(0)
        return spool  # type: ignore[return-value]

    def _request(self, method: str) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        try:
            connection = self._address.connect()
            connection.request(method, self._address.target, headers={"User-Agent": "infinity-assets"})
            response = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            raise SourceError(f"{self.url}: {error}") from error
        if response.status != http.HTTPStatus.OK:
            connection.close()
            raise SourceError(f"{self.url}: answered {response.status}; redirects are not followed")
        return connection, response
