"""Exchanges in common: the same question on the same pictures, inside another conversation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from infinity_assets.stages.duplicate_ledger.keys import NONE, Keys, Rows, first_equal, sequences

#: Conversations with an exchange in common that one is compared with, the first ones. Our choice: it bounds
#: the work where a million conversations about one picture say the same.
CROWD = 64


@dataclass(frozen=True, slots=True)
class Shared:
    """Pairs of conversations, by the first sample of each distinct one."""

    talk: Rows  #: ``(samples,)``: first sample with the same set of exchanges and pictures; NONE for none
    contained: Rows  #: conversations whose exchanges are all in another, which has more
    container: Rows
    later: Rows  #: for each conversation the earlier one that has most of its exchanges
    earlier: Rows
    lacking: npt.NDArray[np.float64]  #: share of the later's exchanges that the earlier lacks
    asked_later: Rows  #: the same for questions that are answered otherwise
    asked_earlier: Rows
    asked_lacking: npt.NDArray[np.float64]
    crowded: int  #: conversations that were compared with the first few only


def shared_turns(scene: Rows, owner: Rows, turns: Keys, questions: Keys) -> Shared:
    """What conversations about the same pictures have in common.

    Args:
        scene: ``(samples,)``, the same number for samples about the same pictures; NONE without pictures,
            and then nothing is shared.
        owner: ``(exchanges,)``, ascending; the sample of each.
        turns: of each, the fingerprint of question and answers.
        questions: of each, the fingerprint of the question.
    """
    about = scene[owner]
    use = about != NONE
    owner, about, turns, questions = owner[use], about[use], turns[use], questions[use]
    turn = first_equal(about, turns[:, 0], turns[:, 1]) if len(owner) else owner
    question = first_equal(about, questions[:, 0], questions[:, 1]) if len(owner) else owner
    held = pl.DataFrame({"owner": owner, "turn": turn, "question": question})
    distinct = held.select("owner", "turn").unique().sort("owner", "turn")
    talk = sequences(distinct["owner"].to_numpy(), distinct["turn"].to_numpy(), len(scene))
    nodes = np.flatnonzero(talk == np.arange(len(scene)))
    of_node = distinct.filter(pl.col("owner").is_in(pl.Series(nodes).implode()))
    pairs, crowded = _in_common(of_node)
    inside = pairs.filter((pl.col("common") == pl.col("size")) & (pl.col("size") < pl.col("other_size")))
    best = _best(
        pairs.filter(pl.col("other") < pl.col("owner")).select(
            "owner", "other", lacking=1 - pl.col("common") / pl.col("size")
        )
    )
    asked = _asked(held.filter(pl.col("owner").is_in(pl.Series(nodes).implode())), of_node)
    return Shared(
        talk,
        inside["owner"].to_numpy(),
        inside["other"].to_numpy(),
        best["owner"].to_numpy(),
        best["other"].to_numpy(),
        best["lacking"].to_numpy(),
        asked["owner"].to_numpy(),
        asked["other"].to_numpy(),
        asked["lacking"].to_numpy(),
        crowded,
    )


def _in_common(held: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """Pairs of conversations with the number of exchanges in common, and how many were looked at in part.

    A conversation that has all exchanges of another has its rarest one, so only those with that are compared;
    and the first that has each, so that a part in common is seen too.
    """
    sizes = held.group_by("owner").len("size").with_columns(pl.col("size").cast(pl.Int64))
    postings = held.with_columns(
        sharers=pl.len().over("turn"),
        place=pl.int_range(pl.len()).over("turn"),
        first=pl.col("owner").min().over("turn"),
    )
    met = postings.filter(pl.col("sharers") > 1)
    rarest = (
        postings.sort("owner", "sharers", "turn")
        .group_by("owner", maintain_order=True)
        .first()
        .filter(pl.col("sharers") > 1)
    )
    few = met.filter(pl.col("place") <= CROWD).select("turn", other="owner")
    pairs = pl.concat(
        [
            rarest.select("owner", "turn").join(few, on="turn").select("owner", "other"),
            met.select("owner", other="first"),
        ]
    )
    pairs = pairs.filter(pl.col("owner") != pl.col("other")).unique()
    counted = (
        pairs.join(held, on="owner")
        .join(held, left_on=["other", "turn"], right_on=["owner", "turn"], how="semi")
        .group_by("owner", "other")
        .len("common")
    )
    counted = counted.join(sizes, on="owner").join(sizes.select(other="owner", other_size="size"), on="other")
    return counted, int((rarest["sharers"] > CROWD).sum())


def _asked(held: pl.DataFrame, of_node: pl.DataFrame) -> pl.DataFrame:
    """For each conversation the earlier one that has most of its questions, answered otherwise."""
    questions = held.unique(["owner", "question", "turn"])
    sizes = questions.group_by("owner").agg(size=pl.col("question").n_unique())
    again = questions.with_columns(other=pl.col("owner").min().over("question")).filter(
        pl.col("other") != pl.col("owner")
    )
    otherwise = again.join(of_node, left_on=["other", "turn"], right_on=["owner", "turn"], how="anti")
    counted = otherwise.group_by("owner", "other").agg(common=pl.col("question").n_unique())
    return _best(
        counted.join(sizes, on="owner").select(
            "owner", "other", lacking=1 - pl.col("common") / pl.col("size")
        )
    )


def _best(pairs: pl.DataFrame) -> pl.DataFrame:
    """One pair for each owner: the least lacking, then the first."""
    return pairs.sort("owner", "lacking", "other").group_by("owner", maintain_order=True).first()
