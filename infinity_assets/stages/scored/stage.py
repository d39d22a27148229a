"""Materializing ``scored``: each sample is asked about once for each scorer; what was paid for is kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa

from infinity_assets.models.vlm.account import Account
from infinity_assets.models.vlm.budget import Budget
from infinity_assets.models.vlm.cache import ReplyCache
from infinity_assets.models.vlm.costs import Cost, books, noted, to_json
from infinity_assets.models.vlm.engines import open_engine
from infinity_assets.stages.publish import StageResult, code_version, publish
from infinity_assets.stages.scored.asking import SCORE_VERSION
from infinity_assets.stages.scored.inputs import Inputs, engine_of
from infinity_assets.stages.scored.schema import AXES, SCORED
from infinity_assets.stages.scored.score import PASSING, score_samples, to_table, unscored
from infinity_assets.stages.served import (
    Made,
    Order,
    deliver,
    made_elsewhere,
    ordered,
    orders_of,
    places_of,
)
from infinity_assets.stages.tagged.stage import grouped
from infinity_assets.stages.verdicts import KEEP
from infinity_assets.store.digests import key_of, table_digest
from infinity_assets.store.tables import Shard, Transaction

if TYPE_CHECKING:
    from infinity_assets.platform import Platform


def materialize_scored(platform: Platform, source: str, run_id: str) -> StageResult:
    """Publish the scores of a source's samples. What has its scores from this scorer is not read.

    Without an engine every score is null, and rows, notes and the asset page say so. Where the budget is
    spent or the engine failed at some requests, what was paid for is published, and the next run asks for the
    rest.

    Raises:
        StoreError: if ``unified`` or ``tagged`` was never published, or do not fit together.
        CatalogueError: if ``engines.yaml`` does not have the engine that ``scoring.yaml`` names.
        EngineError: the engine as a whole does not work.
    """
    policy, engine = platform.scoring, engine_of(platform)
    inputs = Inputs(platform, source, policy, engine)
    transaction = platform.store.begin(SCORED, source)
    have: dict[str, Shard | None] = {key: transaction.have(key) for key in inputs.keys}
    missing = [place for place, key in enumerate(inputs.keys) if have[key] is None]
    costs: list[Cost] = []
    for made in _made(platform, inputs, transaction, missing):
        have[made.key] = made.shard
        costs += made.costs
    shards = [shard for key in inputs.keys if (shard := have[key]) is not None]
    rows = inputs.rows
    told = noted(books((shard.stats.get("costs", []) for shard in shards), costs))
    scored, rated = (sum(s.stats[name] for s in shards) for name in ("with_loss", "with_ratings"))
    return publish(
        transaction,
        shards,
        rows_in=rows,
        run_id=run_id,
        engine=platform.settings.contracts,
        inputs=inputs.versions,
        made_by=code_version(SCORED.version, SCORE_VERSION),
        notes={
            "engine": policy.engine or "none: scoring.yaml names no engine, so every score is null",
            "model": f"{engine.model}@{engine.revision}" if engine else None,
            "policy": f"{policy.name}@{policy.version}",
            "with_loss": scored,
            "with_ratings": rated,
            "null_loss_share": 1 - scored / rows if rows else None,
            "loss_problems": _sum(shards, "loss_problems"),
            "ratings_problems": _sum(shards, "ratings_problems"),
            "prompt_tokens": sum(s.stats["prompt_tokens"] for s in shards),
            "completion_tokens": sum(s.stats["completion_tokens"] for s in shards),
            **({"costs": told, "currency": engine.prices.currency} if engine else {}),
        },
    )


def run_scores(root: str, key: str, payload: Mapping[str, Any]) -> None:
    """Score the shards of an order, with a server beside this process.

    Raises:
        StoreError: if they are not what is to be scored any more.
        EngineError: the engine as a whole does not work.
    """
    with ordered(root, key, payload) as platform:
        inputs = Inputs(platform, payload["source"], platform.scoring, engine_of(platform))
        transaction = platform.store.begin(SCORED, payload["source"])
        places = places_of(inputs.keys, payload["keys"], SCORED.name)
        deliver(transaction, key, _here(platform, inputs, transaction, places, payload["budget"]))


def _made(platform: Platform, inputs: Inputs, transaction: Transaction, missing: list[int]) -> Sequence[Made]:
    """Score what is missing, in pods where these start the engine's server."""
    policy = inputs.policy

    def orders() -> list[Order]:
        groups = grouped(range(len(inputs.keys)), inputs.shards)
        return orders_of(transaction, [(key,) for key in inputs.keys], groups, inputs.size)

    engines = [policy.engine] if policy.engine is not None else []
    found = made_elsewhere(platform, "scores", transaction, engines, policy.budget, orders)
    if found is not None:
        return found
    return list(_here(platform, inputs, transaction, missing, policy.budget))


def _here(
    platform: Platform,
    inputs: Inputs,
    transaction: Transaction,
    places: Sequence[int],
    budget: float | None,
) -> Iterator[Made]:
    """Score some shards in this process."""
    with ExitStack() as opened:
        account = None
        if inputs.engine is not None and places:
            opened_engine = opened.enter_context(open_engine(inputs.engine, platform.settings.home / "logs"))
            cache = ReplyCache(platform.store.objects)
            opened.callback(cache.close)
            account = Account(opened_engine, inputs.engine, cache, Budget(budget))
        for group in grouped(places, inputs.shards):
            yield from _score(transaction, inputs, group, account)


def _score(
    transaction: Transaction, inputs: Inputs, places: Sequence[int], account: Account | None
) -> Iterator[Made]:
    """Score several shards together, and stage each under its key; beside it where more may come."""
    engine, policy = inputs.engine, inputs.policy
    parts = {place: inputs.samples(place) for place in places}
    samples = [sample for part in parts.values() for sample in part]
    if account is None or engine is None:
        rows = unscored(samples)
    else:
        rows = score_samples(samples, inputs.shown, policy, account.ask, f"{engine.model}@{engine.revision}")
    first = 0
    for place, part in parts.items():
        key = inputs.keys[place]
        mine = rows[first : first + len(part)]
        table = to_table(mine, key)
        first += len(part)
        costs = [] if account is None else account.take(name for row in mine for name in row["requests"])
        stats = _stats(table) | {"ids": inputs.ids(place), "costs": to_json(costs)}
        passing = stats["passing"] > 0
        under = key_of(key, table_digest(table)) if passing else key
        yield Made(key, transaction.stage(under, table, stats), costs)


def _stats(table: pa.Table) -> dict[str, Any]:
    frame = pl.DataFrame(pl.from_arrow(table))
    problems = frame.select(pl.col("loss_problem", "ratings_problem").is_in(list(PASSING)))
    rated = pl.any_horizontal(pl.col(axis).is_not_null() for axis in AXES)
    return {
        "verdicts": {KEEP: len(frame)},
        "kept": frame["sample_id"].head(5).to_list(),
        "with_loss": int(frame["loss"].is_not_null().sum()),
        "with_ratings": int(frame.select(rated.sum()).item()) if len(frame) else 0,
        "loss_problems": _counts(frame["loss_problem"]),
        "ratings_problems": _counts(frame["ratings_problem"]),
        "prompt_tokens": int(frame["prompt_tokens"].sum()),
        "completion_tokens": int(frame["completion_tokens"].sum()),
        "passing": int(problems.select(pl.any_horizontal(pl.all()).sum()).item() or 0),
    }


def _counts(codes: pl.Series) -> dict[str, int]:
    counted = codes.drop_nulls().value_counts().sort(codes.name)
    return {str(code): int(n) for code, n in counted.iter_rows()}


def _sum(shards: Sequence[Shard], name: str) -> dict[str, int]:
    total: dict[str, int] = {}
    for shard in shards:
        for code, n in shard.stats[name].items():
            total[code] = total.get(code, 0) + n
    return dict(sorted(total.items()))
