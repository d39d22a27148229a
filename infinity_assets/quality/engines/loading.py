"""Great Expectations, loaded without what only its charts and its statistical tests use."""

from __future__ import annotations

import gc
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

#: Imported at its top, used by expectations that no contract has: 1 CPU-second and 75 MB of the whole.
SPARED = ("altair", "scipy.stats")


@cache
def load() -> None:
    """Import what the engine uses, at 1.2 CPU-seconds and 70 MB; once a process."""
    collects = gc.isenabled()
    gc.disable()  # it would look again and again at classes of which none ever goes: a third of the time
    try:
        with _deferred(SPARED), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its own dependencies, about each other
            import_module("great_expectations.expectations")
    finally:
        if collects:
            gc.enable()


@contextmanager
def _deferred(names: tuple[str, ...]) -> Iterator[None]:
    """Whoever imports these modules meanwhile gets one that loads when something in it is first used."""
    stood_in = {name: _Deferred(name) for name in names if name not in sys.modules}
    sys.modules.update(stood_in)
    for name, module in stood_in.items():
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(import_module(parent), child, module)
    try:
        yield
    finally:
        for name, module in stood_in.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]
            parent, _, child = name.rpartition(".")
            if parent and vars(sys.modules[parent]).get(child) is module:
                delattr(sys.modules[parent], child)


class _Deferred(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name != "__path__":  # asked of every module by whoever looks around
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(import_module(self.__name__), name)
