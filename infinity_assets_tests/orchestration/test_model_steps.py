"""Without these, a step that needs a GPU is put where there is none, or one that needs none waits for it."""

from __future__ import annotations

import json

from infinity_assets.definitions import platform_defs
from infinity_assets.platform import Platform
from infinity_assets.settings import Settings
from infinity_assets_tests.conftest import jsonl, talk


def tagged_op(site, **settings):
    site.add("s", {"rows.jsonl": jsonl([talk(1)])})
    base = site.platform().settings.model_dump(exclude={"ram_plus"})
    graph = platform_defs(Platform(Settings(**(base | settings)))).get_repository_def()
    return graph.assets_defs_by_key[next(k for k in graph.assets_defs_by_key if k.path == ["tagged"])].op


def test_looking_at_pictures_asks_the_cluster_for_a_gpu(site):
    op = tagged_op(site, tagger="ram_plus", tagger_workers=2, tagger_image="example/ram:1")
    container = json.loads(op.tags["dagster-k8s/config"])["container_config"]
    assert container == {"resources": {"limits": {"nvidia.com/gpu": "2"}}, "image": "example/ram:1"}
    assert op.pool == "gpu"


def test_reading_captions_asks_for_none(site):
    op = tagged_op(site)
    assert "dagster-k8s/config" not in op.tags and op.pool is None
