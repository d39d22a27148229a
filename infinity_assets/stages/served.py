"""Shards that a vLLM server makes: where runs are Jobs of a cluster, in pods with a server each.

The run's pod then holds no GPU: it orders, waits, and publishes what the pods staged. Everywhere else the
step has one server in its own process, and makes its shards itself.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from infinity_assets.errors import StoreError
from infinity_assets.models.vlm.costs import Cost, from_json, noted
from infinity_assets.platform import Platform
from infinity_assets.settings import Settings
from infinity_assets.sharding.plan import Plan, Task
from infinity_assets.sharding.pool import run_plan, runs_elsewhere
from infinity_assets.store.digests import key_of
from infinity_assets.store.tables import Shard, Transaction

#: Longest that one order may take: some 20,000 requests, and the start of a server. Our choice.
TIMEOUT_S: Final = 12 * 3_600.0


@dataclass(frozen=True, slots=True)
class Made:
    """A shard, and what its requests cost."""

    key: str  #: that was asked for
    shard: Shard  #: under that key, or aside where another run may do more
    costs: Sequence[Cost]


@dataclass(frozen=True, slots=True)
class Order:
    """Shards that one pod makes: the same ones however many of them are staged already."""

    keys: tuple[str, ...]
    rows: int  #: that are asked about; a budget is shared out by them
    missing: bool  #: whether one of them is not staged yet
    told: Mapping[str, Any] = field(default_factory=dict)  #: what else its worker needs, as JSON values


def orders_of(
    transaction: Transaction,
    keys: Sequence[Sequence[str]],
    groups: Iterable[Sequence[int]],
    rows: Callable[[int], int],
    told: Callable[[Sequence[int]], Mapping[str, Any]] = lambda places: {},
) -> list[Order]:
    """Orders for all that is not published. Staged shards count in, or a resumed run would order anew.

    Args:
        transaction: of the table.
        keys: of each of its shards, in order; first that which is asked for, then those that do as well.
        groups: places of shards that go together, whether they are there or not.
        rows: of a shard.
        told: see :class:`Order`, of some places.
    """
    published = {shard.key for shard in transaction.base.shards} if transaction.base else set()
    orders = []
    for group in groups:
        part = [place for place in group if published.isdisjoint(keys[place])]
        if part:
            missing = any(not any(map(transaction.have, keys[place])) for place in part)
            firsts = tuple(keys[place][0] for place in part)
            orders.append(Order(firsts, sum(map(rows, part)), missing, told(part) if missing else {}))
    return orders


def made_elsewhere(
    platform: Platform,
    kind: str,
    transaction: Transaction,
    engines: Collection[str],
    budget: float | None,
    wanted: Callable[[], Sequence[Order]],
) -> list[Made] | None:
    """Have pods make what is missing of some orders; None where the step is to make it itself.

    Each order has its share of the budget, by its rows: a pod does not know what others spend.

    Args:
        platform: settings and store.
        kind: of the shards; its function answers with :func:`deliver`.
        transaction: of the table.
        engines: names of those that are asked.
        budget: of all orders; None spends without a limit.
        wanted: gives the orders; called where there are pods.

    Raises:
        StoreError: if a pod died of what it did, or what it staged is gone.
    """
    if not runs_elsewhere() or all(platform.engine(name).engine != "vllm" for name in engines):
        return None
    orders = wanted()
    rows = sum(order.rows for order in orders)
    tasks = []
    for order in orders:
        if not order.missing:
            continue
        share = None if budget is None else budget * order.rows / max(1, rows)
        told = {"source": transaction.partition, "keys": list(order.keys), "budget": share, **order.told}
        told["settings"] = platform.settings.model_dump(mode="json")
        tasks.append(Task(kind, key_of(kind, order.keys, share), told))
    plan = Plan(transaction.spec.name, transaction.partition, tuple(tasks))
    run_plan(platform.store.root, plan, workers=1, timeout_s=TIMEOUT_S, on_death=_died)
    return [made for task in tasks for made in _delivered(transaction, task.key)]


@contextmanager
def ordered(root: str, key: str, payload: Mapping[str, Any]) -> Iterator[Platform]:
    """The deployment as the worker of an order sees it.

    Its home is a folder of its own, for the log of its server; it goes when all went well.
    """
    given = Settings(**payload["settings"])
    home = given.home / "pods" / key
    yield Platform(given.model_copy(update={"home": home, "store": root}))
    shutil.rmtree(home, ignore_errors=True)


def places_of(keys: Sequence[str], wanted: Sequence[str], table: str) -> list[int]:
    """Where the shards of an order stand among those of today's table.

    Raises:
        StoreError: if one is none of them: tables, policy or model moved since it was ordered.
    """
    at = {key: place for place, key in enumerate(keys)}
    if any(key not in at for key in wanted):
        raise inputs_moved(table)
    return [at[key] for key in wanted]


def inputs_moved(table: str) -> StoreError:
    """The error for an order that is about something of before."""
    return StoreError(
        f"{table}: its inputs, policy or engines changed while its shards were ordered; run again"
    )


def deliver(transaction: Transaction, key: str, made: Iterable[Made]) -> None:
    """Say in the store what an order's shards became; it is forgotten when they are published."""
    told = [{"key": m.key, "shard": m.shard.to_json(), "costs": noted(m.costs)} for m in made]
    transaction.store.objects.put(_delivery(transaction, key), json.dumps(told).encode())


def _delivered(transaction: Transaction, key: str) -> list[Made]:
    found = transaction.store.objects.get(_delivery(transaction, key))
    if found is None:
        raise transaction.gone(f"order {key}")
    return [Made(m["key"], Shard.from_json(m["shard"]), from_json(m["costs"])) for m in json.loads(found)]


def _delivery(transaction: Transaction, key: str) -> str:
    """Beside what is staged, which a commit clears."""
    return f"_staging/{transaction.spec.name}/{transaction.partition}/orders/{key}.json"


def _died(task: Task, why: str) -> Sequence[Task]:
    raise StoreError(
        f"{task.kind} of {task.payload['source']}: {why}; has its pod memory enough for the server and its"
        " model? Replies that were paid for are kept: run again"
    )
