"""What Dagster loads, and the shape of the graph as plain text."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import dagster as dg
import pytest

from infinity_assets.definitions import build_defs, platform_defs
from infinity_assets.errors import CatalogueError
from infinity_assets.settings import Settings
from infinity_assets_tests.orchestration.small import small_platform, write_spec

SNAPSHOT = Path(__file__).parent / "orchestration" / "graph.txt"


def draw(definitions: dg.Definitions) -> str:
    """Assets in the order of the pipeline with group, partitions, kinds, dependencies and checks."""
    graph = definitions.resolve_asset_graph()
    lines = []
    for key in sorted(graph.get_all_asset_keys(), key=lambda k: (graph.get(k).group_name, k.path)):
        node = graph.get(key)
        kinds = ", ".join(sorted(node.kinds))
        keys = ", ".join(node.partitions_def.get_partition_keys()) if node.partitions_def else "no partitions"
        lines.append(f"{key.to_user_string()} [{node.group_name}] ({kinds}) for {keys}")
        for parent in sorted(node.parent_keys):
            mapping = node.partition_mappings.get(parent)
            how = "every partition" if isinstance(mapping, dg.AllPartitionMapping) else "same partition"
            lines.append(f"  from {parent.to_user_string()}, {how}")
        for check in sorted(graph.get_check_keys_for_assets({key}), key=lambda c: c.name):
            spec = graph.get_check_spec(check)
            lines.append(f"  {'blocks' if spec.blocking else 'warns'}: {check.name}")
    return "\n".join(lines) + "\n"


def test_graph_is_the_committed_one(tmp_path):
    """A dependency, group or check that changes unnoticed changes what a backfill does.

    Where it changed on purpose: run once with INFINITY_UPDATE_SNAPSHOTS=1 and commit the file.
    """
    found = draw(platform_defs(small_platform(tmp_path)))
    if os.environ.get("INFINITY_UPDATE_SNAPSHOTS"):
        SNAPSHOT.write_text(found, encoding="utf-8")
    assert found == SNAPSHOT.read_text(encoding="utf-8")


def test_definitions_load_without_preview_warnings(tmp_path):
    """Dozens of warnings at each start hide the one that matters."""
    platform = small_platform(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error", dg.PreviewWarning)
        definitions = build_defs(platform.settings)
        dg.Definitions.validate_loadable(definitions)
    assert definitions.executor is dg.in_process_executor
    for spec in definitions.resolve_all_asset_specs():
        assert spec.description and spec.owners and spec.kinds and spec.code_version
        assert "One row is one" in spec.description


def test_wrong_source_file_is_named(tmp_path):
    """The UI shows this text where the code location fails to load."""
    platform = small_platform(tmp_path)
    write_spec(platform.settings.catalogue, "bad_one", category="nonsense")
    with pytest.raises(CatalogueError, match=r"bad_one\.yaml:1: category"):
        build_defs(Settings(home=tmp_path / "home", catalogue=platform.settings.catalogue))
