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
#: Clouds from which it could read, and does without where they are not installed.
ABSENT = ("boto3", "botocore", "google.api_core", "google.auth", "google.cloud", "google.oauth2")


@cache
def load() -> None:
    """Import what the engine uses, at 1.2 CPU-seconds and 70 MB; once a process."""
    collects = gc.isenabled()
    gc.disable()  # it would look again and again at classes of which none ever goes: a third of the time
    try:
        with _deferred(SPARED), _absent(ABSENT), warnings.catch_warnings():
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


@contextmanager
def _absent(names: tuple[str, ...]) -> Iterator[None]:
    """To whoever imports these modules meanwhile they are not installed, unless they are loaded already."""
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in hidden:
            if name in sys.modules and sys.modules[name] is None:
                del sys.modules[name]


class _Deferred(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name != "__path__":  # asked of every module by whoever looks around
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(import_module(self.__name__), name)
