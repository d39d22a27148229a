"""Great Expectations, loaded as far as the engine uses it.

Whoever imports one expectation of it gets all, and every data source: 1.2 CPU-seconds, of which row contracts
use a quarter. Here its largest packages import a name when it is first asked for. So all of it can be had,
and what nobody asks for costs nothing.
"""

from __future__ import annotations

import ast
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, cached_property
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec, module_from_spec, resolve_name
from pathlib import Path
from types import ModuleType
from typing import Any

_GX = "great_expectations"
#: Packages that hold imports, and nothing else that is used.
LAZY = (
    _GX,
    f"{_GX}.core",
    f"{_GX}.data_context",
    f"{_GX}.data_context.data_context",
    f"{_GX}.expectations",
    f"{_GX}.expectations.core",
    f"{_GX}.expectations.metrics",
    f"{_GX}.expectations.metrics.column_map_metrics",
    f"{_GX}.expectations.metrics.column_pair_map_metrics",
)
#: What the contracts' expectations compute. They ask for it by name, so it has to be known before.
METRICS = (
    "column_map_metrics.column_values_between",
    "column_map_metrics.column_values_in_set",
    "column_map_metrics.column_values_match_regex",
    "column_map_metrics.column_values_non_null",
    "column_map_metrics.column_values_null",
    "column_map_metrics.column_values_unique",
    "column_pair_map_metrics.column_pair_values_equal",
    "table_metrics",
)
#: Clouds from which it could read, and does without where they are not installed.
ABSENT = ("boto3", "botocore", "google.api_core", "google.auth", "google.cloud", "google.oauth2")


@cache
def load() -> None:
    """Import what the engine uses, at 0.3 CPU-seconds; once a process.

    Where the process has loaded Great Expectations itself, that is used.
    """
    with _absent(ABSENT), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own dependencies, about each other
        if _GX not in sys.modules:
            for name in LAZY:
                _import_lazily(name)
            sys.modules[_GX].__version__ = version(_GX)  # type: ignore[attr-defined]
        for name in METRICS:
            import_module(f"{_GX}.expectations.metrics.{name}")


def _import_lazily(name: str) -> None:
    spec = find_spec(name)
    if spec is None:
        raise ModuleNotFoundError(f"no module named {name}; install the version of requirements.lock")
    module = module_from_spec(spec)
    module.__class__ = _LazyPackage
    sys.modules[name] = module


class _LazyPackage(ModuleType):
    """A package whose ``__init__`` is read, not run."""

    @cached_property
    def _origins(self) -> dict[str, tuple[str, str]]:
        """By name: the module from which ``__init__`` imports it, and what it is called there."""
        found: dict[str, tuple[str, str]] = {}
        for node in ast.walk(ast.parse(Path(str(self.__file__)).read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom):
                module = resolve_name("." * node.level + (node.module or ""), self.__name__)
                found |= {alias.asname or alias.name: (module, alias.name) for alias in node.names}
        return found

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # asked of every module by whoever looks around
            raise AttributeError(name)
        module, original = self._origins.get(name, (self.__name__, name))
        inner = f"{module}.{original}"
        try:
            if module == self.__name__:
                value: Any = import_module(inner)
            else:
                owner = import_module(module)
                value = getattr(owner, original) if hasattr(owner, original) else import_module(inner)
        except ModuleNotFoundError as error:
            if error.name != inner:
                raise
            raise AttributeError(f"{self.__name__} has no {name}") from error
        setattr(self, name, value)
        return value


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
