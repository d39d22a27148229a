"""Is the platform the bottleneck when a vision-language model is asked?

Two comparisons, each in one run:

- requests for each CPU-second of the client, with 512 px pictures and every reply kept, against a fake server
  in a process of its own; the platform that a request meets is all there: hash, cache, limits, JSON, reply;
- requests a second through a real vLLM server with the toy model, against a bare load generator (ready
  bodies, as many connections, replies thrown away) that takes turns with it.

    .venv/bin/python -m benchmarks.vlm_client [--requests 4000] [--without-vllm]
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import numpy as np
import uvloop
from blake3 import blake3
from PIL import Image

from benchmarks._common import REPOSITORY, report
from infinity_assets.models.vlm.ask import complete_all
from infinity_assets.models.vlm.cache import ReplyCache
from infinity_assets.models.vlm.client import OpenAIEngine
from infinity_assets.models.vlm.config import EngineConfig
from infinity_assets.models.vlm.engines import open_engine
from infinity_assets.models.vlm.own import OwnServerEngine
from infinity_assets.models.vlm.requests import Message, Picture, Request, Sampling
from infinity_assets.models.vlm.wire import Pictures, encode
from infinity_assets.store.objects import Objects

TARGET = "2,000 requests a client CPU-second with 512 px pictures; 90 % of a bare load generator's rate"
ASKED_OF_ONE = 7  #: requests about one picture: questions, answers in three styles, judges
ROUNDS = 3
AT_WORK = 16
MODEL = REPOSITORY / "infinity_assets_tests" / "models" / "toy_vlm" / "weights"
SCHEMA = {
    "type": "object",
    "properties": {"answer": {"type": "string"}},
    "required": ["answer"],
    "additionalProperties": False,
}


def jpeg(seed: int, side: int) -> Picture:
    """A smooth picture with some noise: about 40 kB at 512 px."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 255, (side // 16, side // 16, 3), dtype=np.uint8))
    pixels = np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC)).astype(np.int16)
    noisy = np.clip(pixels + rng.integers(-12, 12, pixels.shape), 0, 255).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(noisy).save(out, "JPEG", quality=85)
    data = out.getvalue()
    return Picture(blake3(data).hexdigest(length=16), data, "image/jpeg")


def requests(pictures: list[Picture], count: int, salt: str) -> Iterator[Request]:
    """Distinct requests, some about each picture one after another, each followed by another picture."""
    for number in range(count):
        picture = pictures[number // ASKED_OF_ONE % len(pictures)]
        text = f"Answer (brief): What color is the shape? {salt} {number}"
        yield Request((Message("user", (picture, text)),), Sampling(max_tokens=24), "bench@1", schema=SCHEMA)


def cpu_rate(count: int) -> dict[str, float]:
    """Requests for each second of this process's CPU, against the fake."""
    pictures = [jpeg(seed, 512) for seed in range(200)]
    command = [sys.executable, "-m", "infinity_assets.models.vlm.fake", "--fixed"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        engine = OpenAIEngine(
            EngineConfig(engine="openai", model="fake", url=server.stdout.readline().strip())
        )
        rates = []
        try:
            for turn in range(ROUNDS):
                with tempfile.TemporaryDirectory() as folder:
                    cache = ReplyCache(Objects(folder))
                    asked = list(requests(pictures, count, str(turn)))
                    before = time.process_time()
                    replies = complete_all(engine, asked, cache=cache)
                    rates.append(count / (time.process_time() - before))
                    assert len(cache) == count and all(reply.problem is None for reply in replies)
        finally:
            server.kill()
    size = statistics.mean(len(picture.data) for picture in pictures)
    return {"per_client_cpu_s": round(statistics.median(rates)), "picture_kb": round(size / 1000)}


async def _bare(url: str, bodies: list[bytes]) -> None:
    left = iter(bodies)
    async with aiohttp.ClientSession(headers={"Content-Type": "application/json"}) as session:

        async def work() -> None:
            for body in left:
                async with session.post(f"{url}/chat/completions", data=body) as response:
                    assert response.status == 200
                    await response.read()

        await asyncio.gather(*(work() for _ in range(AT_WORK)))


def bare_rate(url: str, bodies: list[bytes]) -> float:
    """Requests a second of a client that does nothing else."""
    began = time.perf_counter()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_bare(url, bodies))
    return len(bodies) / (time.perf_counter() - began)


def platform_rate(engine: OwnServerEngine, asked: list[Request]) -> float:
    """Requests a second of the platform, every reply kept."""
    with tempfile.TemporaryDirectory() as folder:
        cache = ReplyCache(Objects(folder))
        began = time.perf_counter()
        replies = complete_all(engine, asked, cache=cache)
        seconds = time.perf_counter() - began
    assert not any(reply.cached for reply in replies)
    return len(asked) / seconds


def through_vllm(engine: OwnServerEngine, count: int) -> dict[str, float]:
    """Rates of the platform and of the bare generator in turns, each first in every other round."""
    pictures = [jpeg(seed, 84) for seed in range(100)]
    ours, bare = [], []
    for turn in range(2 * ROUNDS + 1):  # the first round warms the server up
        known = Pictures()
        bodies = [encode(r, engine.model, known) for r in requests(pictures, count, f"bare {turn}")]
        asked = list(requests(pictures, count, f"ours {turn}"))
        if turn % 2:
            bare.append(bare_rate(engine.url, bodies))
        ours.append(platform_rate(engine, asked))
        if not turn % 2:
            bare.append(bare_rate(engine.url, bodies))
    rates = {"platform_per_s": statistics.median(ours[1:]), "bare_per_s": statistics.median(bare[1:])}
    share = statistics.median(o / b for o, b in zip(ours[1:], bare[1:], strict=True))
    return {key: round(rate, 1) for key, rate in rates.items()} | {"share": round(share, 3)}


def main() -> None:
    """Measure both and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=4000)
    parser.add_argument("--vllm-requests", type=int, default=1000)
    parser.add_argument("--without-vllm", action="store_true")
    arguments = parser.parse_args()
    figures: dict[str, float] = cpu_rate(arguments.requests)
    print(figures, flush=True)
    python = Path(os.environ.get("INFINITY_VLLM_PYTHON") or REPOSITORY / ".envs/vllm/bin/python")
    if arguments.without_vllm or not python.exists():
        why = "the real server was left out; `make vllm` builds its environment"
        report("vlm_client", figures, TARGET, None, why)
        return
    flags = (
        "--dtype",
        "bfloat16",
        "--enforce-eager",
        "--max-model-len",
        "2048",
        "--max-num-seqs",
        str(AT_WORK),
    )
    config = EngineConfig(
        engine="vllm", model=str(MODEL), environment=python, arguments=flags, concurrency=AT_WORK
    )
    with tempfile.TemporaryDirectory() as logs, open_engine(config, Path(logs)) as engine:
        assert isinstance(engine, OwnServerEngine)
        figures |= through_vllm(engine, arguments.vllm_requests)
    met = figures["per_client_cpu_s"] >= 2000 and figures["share"] >= 0.9
    report("vlm_client", figures, TARGET, met)


if __name__ == "__main__":
    main()
