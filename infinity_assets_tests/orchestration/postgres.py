"""A real Postgres of a test's own: Debian's package, on a free port, in a folder that is removed again."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infinity_assets_tests.processes import free_port

#: Where Debian puts the programs of each major version, the newest first.
DEBIAN = Path("/usr/lib/postgresql")
MISSING = "no Postgres here: apt-get install postgresql"
USER = "test"
SECONDS = 60


def programs() -> Path | None:
    """The folder of ``initdb`` and ``postgres``; None where there is none."""
    versions = sorted((p for p in DEBIAN.glob("*/bin") if (p / "initdb").exists()), reverse=True)
    found = shutil.which("initdb")
    return versions[0] if versions else Path(found).resolve().parent if found else None


@contextmanager
def postgres(bin_folder: Path) -> Iterator[str]:
    """The address of a running server; it is stopped and its files are removed at the end.

    Postgres refuses to run as root: it then runs as the user that Debian's package makes.
    """
    folder = Path(tempfile.mkdtemp(prefix="pg-"))  # not below pytest's folder, which other users cannot enter
    user = None
    if os.geteuid() == 0:
        user = "postgres"
        owner = pwd.getpwnam(user)
        os.chown(folder, owner.pw_uid, owner.pw_gid)
    data, port = folder / "data", free_port()
    try:
        arguments = ["--auth=trust", f"--username={USER}", "--encoding=UTF8", "--no-sync", "--locale=C"]
        _run([bin_folder / "initdb", *arguments, data], folder, user)
        options = ["-c", f"port={port}", "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
        options += ["-c", f"unix_socket_directories={folder}"]
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(
                [bin_folder / "postgres", "-D", data, *options],
                stdout=log,
                stderr=log,
                cwd=folder,
                user=user,
                start_new_session=True,
            )
        try:
            _wait(port, server, folder / "log")
            yield f"postgresql://{USER}@127.0.0.1:{port}/postgres"
        finally:
            server.send_signal(signal.SIGINT)  # a fast shutdown: open sessions are ended
            server.wait(SECONDS)
    finally:
        shutil.rmtree(folder)


def _run(command: list[str | Path], cwd: Path, user: str | None) -> None:
    done = subprocess.run(command, cwd=cwd, user=user, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _wait(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    import psycopg2

    deadline = time.monotonic() + SECONDS
    while True:
        assert server.poll() is None, log.read_text(errors="replace")
        try:
            psycopg2.connect(host="127.0.0.1", port=port, user=USER, dbname="postgres").close()
            return
        except psycopg2.OperationalError:
            assert time.monotonic() < deadline, log.read_text(errors="replace")
            time.sleep(0.1)
