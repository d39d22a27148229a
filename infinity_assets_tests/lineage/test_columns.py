"""Column lineage: a line that is not drawn hides what a change would break; one too many is a false alarm."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import lance
import pytest
import yaml
from starlette.testclient import TestClient

from infinity_assets.lineage import columns
from infinity_assets.lineage.columns import (
    EVERYWHERE,
    EXPORTED,
    OUTSIDE,
    ROWS,
    around,
    declared,
    meanings,
    tables,
    trace,
    used_in,
)
from infinity_assets.preview.app import create_app
from infinity_assets.preview.drawing import draw
from infinity_assets.sharding.plan import Plan
from infinity_assets.sharding.worker import run_task
from infinity_assets.store.tables import Store
from infinity_assets_tests.conftest import Site
from infinity_assets_tests.lineage import story

#: Tables of one step, by the name of the function that makes it.
STEPS = {
    "unified": ("images", "unified"),
    "synthesized": ("synthesis_plan", "synthesis_qa", "synthesized"),
}
#: What a step reads so as to find rows, to know what changed or to check, and no column is made from.
READ_TO_JOIN = {
    "unified": {"raw.bytes", "raw.modified", "unified.image_ids"},
    "tagged": {"unified.sample_id"},
    "synthesized": {  # the table is small and read whole
        f"tag_associations.{name}" for name in ("count", "instruction_support", "pair", "pmi", "tag_support")
    },
    "scored": {"scored.sample_id"},
    "filtered": {"scored.sample_id"},
    "mixed": {"unified.sample_id", "synthesized.sample_id"},
    "exported": {"images.image_id", "mixed.source", "unified.sample_id", "synthesized.sample_id"},
}
#: What the story of these tests gives no reason to read: another policy, a model, a benchmark.
NEVER_READ = ("contamination.", "benchmark_fingerprints.", "scored.", "duplicate_ledger.", "images.bytes")
#: The same of single steps: filtered comes later at first, texts of exports are read where files are written.
NOT_READ = {
    "duplicate_ledger": {"filtered.verdict", "filtered.reason"},
    "exported": {"unified.turns", "synthesized.turns"},
    "mixed": {"filtered.findings"},
}


def test_every_column_is_declared_once_from_columns_that_there_are() -> None:
    written = yaml.safe_load(Path(columns.__file__).with_name("columns.yaml").read_text("utf-8"))
    assert set(written) == {EXPORTED if n.startswith(EXPORTED) else n for n in tables()}
    order = list(tables())
    for name, told in written.items():
        spec = tables().get(name) or tables()["exported_llava"]
        names = [one.strip() for many in told for one in many.split(",")]
        assert sorted(names) == sorted([ROWS, *spec.schema.names]), name
    for table, made in declared().items():
        for column, sources in made.items():
            assert sources and len(set(sources)) == len(sources), f"{table}.{column}"
            for source in sources:
                if not source.table:
                    assert source.name in OUTSIDE
                    continue
                assert source.name in tables()[source.table].schema.names, f"{table}.{column}: {source}"
                # The ledger asks what filtered said last time: a duplicate may have lost its place since.
                earlier = order.index(source.table) <= order.index(table)
                assert earlier or (table, source.table) == ("duplicate_ledger", "filtered")


def test_every_column_says_what_it_means_and_no_other_is_told() -> None:
    """A data lead who reads `blur` and `loss` must not have to guess the unit, nor read of what is gone."""
    written = yaml.safe_load(Path(columns.__file__).with_name("meanings.yaml").read_text("utf-8"))
    used = set()
    for name, spec in tables().items():
        told = meanings(name)
        assert list(told) == spec.schema.names and all(told.values())
        assert "<" not in "".join(told.values()), "Dagster takes it for a tag and leaves it out"
        used |= {(EXPORTED if name.startswith(EXPORTED) else name, c) for c in told}
    every = {(table, c) for table, c in used if c not in written[table]}
    said = {(table, c) for table, columns_ in written.items() for c in columns_ if table != EVERYWHERE}
    assert said <= used
    assert set(written[EVERYWHERE]) == {c for _, c in every}


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, set[str]]]:
    """``table.column`` that each step asked for while the story was told, audits left out."""
    found: dict[str, set[str]] = defaultdict(set)
    step = [""]
    scanner = lance.LanceDataset.scanner

    def spied(self: Any, columns: Any = None, filter: Any = None, *args: Any, **more: Any) -> Any:
        frame = sys._getframe(1)
        while frame is not None and "/quality/" not in frame.f_code.co_filename:
            frame = frame.f_back  # type: ignore[assignment]
        if frame is None:
            table = Path(self.uri).parent.name
            asked = columns.values() if isinstance(columns, dict) else columns or self.schema.names
            found[step[0]] |= {f"{table}.{name}" for name in _names(table, [*asked, filter or ""])}
        return scanner(self, columns, filter, *args, **more)

    def named(work: Callable[..., Any], name: str) -> Callable[..., Any]:
        def told(*args: Any, **more: Any) -> Any:
            step[0] = name
            return work(*args, **more)

        return told

    def here(root: str, plan: Plan, **_: Any) -> None:
        for task in plan.tasks:
            run_task(root, task)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(lance.LanceDataset, "scanner", spied)
        for module in list(sys.modules.values()):
            if module.__name__.startswith("infinity_assets.stages.") and hasattr(module, "run_plan"):
                patched.setattr(module, "run_plan", here)
        for name in [n for n in dir(story) if n.startswith("materialize_")]:
            patched.setattr(story, name, named(getattr(story, name), name.removeprefix("materialize_")))
        story.tell(Site(tmp_path_factory.mktemp("story")))
        yield dict(found)


def _names(table: str, asked: Any) -> set[str]:
    """Columns, also those inside of expressions such as ``array_length(media)``."""
    known = tables()[table].schema.names if table in tables() else []
    words = {word for text in asked for word in text.replace("(", " ").replace(")", " ").split()}
    return {name for name in known if name in words}


def test_what_a_step_reads_is_what_its_columns_are_made_from(read: dict[str, set[str]]) -> None:
    looked, wrong = 0, []
    for step, asked in read.items():
        names = ("exported_llava",) if step == EXPORTED else STEPS.get(step, (step,))
        sources = {s for n in names for made in declared()[n].values() for s in made if s.table}
        made = {str(source) for source in sources if source.table not in names}
        unread = {
            name for name in made - asked - NOT_READ.get(step, set()) if not name.startswith(NEVER_READ)
        }
        unused = {name for name in asked - made if not name.startswith(tuple(f"{n}." for n in names))}
        wrong += [f"{step} does not read {name}" for name in sorted(unread)]
        wrong += [f"{step} reads {name}" for name in sorted(unused - READ_TO_JOIN.get(step, set()))]
        looked += len(made & asked)
    assert not wrong, "\n".join(wrong)
    assert looked > 60


def test_a_trace_leads_outside_the_tables_and_nowhere_in_circles() -> None:
    for table, made in declared().items():
        for name in made:
            edges = trace(table, name)
            assert len(set(edges)) == len(edges)
            ends = {source for source, _ in edges if not source.table}
            assert ends, f"{table}.{name} comes from nowhere"
    for name, users in used_in("unified").items():
        assert all(any(str(s) == f"unified.{name}" for s in declared()[u.table][u.name]) for u in users)


def test_boxes_of_a_picture_do_not_lie_on_each_other() -> None:
    for table, made in declared().items():
        for drawing in (draw(around(table), table), *(draw(trace(table, name)) for name in made)):
            lanes: dict[int, list[Any]] = defaultdict(list)
            for box in drawing.boxes:
                lanes[box.x].append(box)
                assert box.x <= drawing.width and box.y + box.height <= drawing.height
                assert all(box.y < entry.y < box.y + box.height for entry in box.entries)
            for boxes in lanes.values():
                assert all(a.y + a.height < b.y for a, b in pairwise(boxes))


def test_every_table_and_column_has_a_page_whose_links_lead_somewhere(tmp_path: Path) -> None:
    with TestClient(create_app(Store(tmp_path)), base_url="http://localhost") as client:
        for table, made in declared().items():
            page = client.get(f"/lineage/{table}")
            assert page.status_code == 200 and "<svg" in page.text and "<script" not in page.text
            for name in made:
                assert f"/lineage/{table}?column={name}" in page.text
        assert client.get("/lineage/filtered?column=findings").text.count("raw files") > 0
        for wrong in ("nosuch", "tagged?column=nosuch", "tagged?column=<script>", "..%2f..", "_staging"):
            assert client.get(f"/lineage/{wrong}").status_code == 404
