"""What stands where vLLM's Python would: a server without a model, started, asked and stopped like it."""

from __future__ import annotations

import sys
from pathlib import Path

from infinity_assets_tests.k8s.conftest import ROOT

#: Writes a line for each start and each request, with the shard of the pod that it runs in.
_SCRIPT = """import os, sys
from pathlib import Path
sys.path.insert(0, {root!r})
from infinity_assets.models.vlm.fake import Fault, FakeServer, plausible

def told(what):
    with Path({told!r}).open("a") as lines:
        lines.write(f"{{what}} {{os.environ.get('JOB_COMPLETION_INDEX', 'here')}}\\n")

def answer(body):
    told("asked")
    return plausible(body)

told("started")
broken = Fault(status=500) if Path({broken!r}).exists() else None
FakeServer(answer, fault_for=lambda _: broken, port=int(sys.argv[sys.argv.index("--port") + 1])).serve()
"""


class ToyVllm:
    """The program, and what it did."""

    def __init__(self, folder: Path) -> None:
        self.python = folder / "vllm-python"
        self._told, self.broken = folder / "vllm-told", folder / "vllm-broken"
        script = folder / "vllm.py"
        script.write_text(_SCRIPT.format(root=str(ROOT), told=str(self._told), broken=str(self.broken)))
        # In an image of a real cluster Python lies elsewhere.
        here = f'test -x {sys.executable} && exec {sys.executable} {script} "$@"'
        self.python.write_text(f'#!/bin/sh\n{here}\nexec python {script} "$@"\n')
        self.python.chmod(0o755)

    def lines(self, what: str) -> list[str]:
        """Where it was ``started`` or ``asked``, each time: the index of a pod, or ``here``."""
        lines = self._told.read_text().splitlines() if self._told.exists() else []
        return [where for did, where in map(str.split, lines) if did == what]
