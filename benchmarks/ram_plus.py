"""How much of the machine RAM++ uses: pictures a second, against the rate of its matrix products alone.

Run: ``.envs/ram/bin/python -m benchmarks.ram_plus [--size full] [--pictures N] [--batch N] [--compile]``;
``make ram`` builds that environment. The weights are random: speed does not depend on them. Three measures in
one run on one device, in bf16:

- the rate of a large square matrix product, which is what the machine can do;
- the network over pixels that lie on the device;
- the whole way from JPEG bytes in memory to logits on the host: decoding in threads, page-locked copies and
  the network, overlapped.

The work is counted from the network's sizes (``RamPlusConfig.multiply_adds``; two operations each). On a CPU
a small network is the default, and the target, which is one for a GPU, is not judged.
"""

from __future__ import annotations

import argparse
import io
import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks._common import report
from infinity_assets.models.ram_plus.config import SWIN_L, TINY, RamPlusConfig
from infinity_assets.models.ram_plus.network import RamPlus
from infinity_assets.models.ram_plus.runners import AHEAD, TorchRunner
from infinity_assets.models.ram_plus.tagger import RamPlusTagger
from infinity_assets.models.taggers.protocol import Picture
from infinity_assets.stages.tagged.pictures import rgb

TARGET = 0.35
#: Pictures that one JPEG each is drawn for; more are repetitions of them.
DISTINCT = 64


def main() -> None:
    """Print what was measured and, last, one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    gpu = torch.cuda.is_available()
    parser.add_argument("--size", choices=("full", "small"), default="full" if gpu else "small")
    parser.add_argument("--pictures", type=int, default=16_384 if gpu else 512)
    parser.add_argument("--batch", type=int, default=128 if gpu else 32)
    parser.add_argument("--compile", action="store_true", help="torch.compile, a minute at the start")
    parser.add_argument("--side", type=int, default=512, help="pixels of the JPEGs' side")
    given = parser.parse_args()
    device = "cuda" if gpu else "cpu"
    config = SWIN_L if given.size == "full" else TINY

    torch.manual_seed(0)
    network = RamPlus(config).eval().requires_grad_(False)
    network.score.bias.fill_(-10.0)  # few tags a picture, as trained weights give
    runner = TorchRunner(network, device=device, dtype="bfloat16", compiled=given.compile)
    rate = matrix_rate(device)
    device_s = on_device(runner, config, given.batch, device)
    whole_s = whole_way(runner, config, given.pictures, given.batch, given.side)

    operations = 2 * config.multiply_adds()
    share = given.pictures * operations / whole_s / rate
    figures = {
        "device": torch.cuda.get_device_name() if gpu else f"cpu, {torch.get_num_threads()} threads",
        "size": given.size,
        "batch": given.batch,
        "compiled": given.compile,
        "gmac_per_picture": round(config.multiply_adds() / 1e9, 3),
        "matrix_tflops": round(rate / 1e12, 3),
        "pictures_per_s": round(given.pictures / whole_s, 1),
        "pictures_per_s_on_device": round(given.batch / device_s, 1),
        "share": round(share, 4),
        "share_on_device": round(given.batch * operations / device_s / rate, 4),
    }
    for name, value in figures.items():
        print(f"{name:<26}{value}")
    judged = gpu and given.size == "full"
    why = "" if judged else f"the target is one for a GPU at full size; this ran on {device}, {given.size}"
    target = f"at least {TARGET:.0%} of the machine's measured bf16 matrix rate, decoding included"
    report("ram_plus", figures, target, share >= TARGET if judged else None, why)


def seconds(work: Callable[[], Any], device: str, rounds: int) -> float:
    """Median time of one call, after two that are not counted; on a GPU without the gaps between calls."""
    for _ in range(2):
        work()
    if device == "cuda":
        marks = [torch.cuda.Event(enable_timing=True) for _ in range(rounds + 1)]
        marks[0].record()
        for mark in marks[1:]:
            work()
            mark.record()
        torch.cuda.synchronize()
        return statistics.median(a.elapsed_time(b) for a, b in itertools.pairwise(marks)) / 1e3
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def matrix_rate(device: str) -> float:
    """Operations a second of a bf16 product of two large square matrices."""
    side = 8_192 if device == "cuda" else 1_024
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    return 2 * side**3 / seconds(lambda: a @ b, device, 20 if device == "cuda" else 5)


def on_device(runner: TorchRunner, config: RamPlusConfig, batch: int, device: str) -> float:
    """Seconds of one batch whose pixels lie where the network does."""
    pixels = torch.randint(0, 256, (batch, config.image, config.image, 3), dtype=torch.uint8, device=device)
    with torch.inference_mode():
        if device == "cuda":
            return seconds(lambda: runner.replay(pixels), device, 10)
        return seconds(lambda: runner.network(pixels), device, 3)


def whole_way(runner: TorchRunner, config: RamPlusConfig, count: int, batch: int, side: int) -> float:
    """Seconds from bytes to tags, for all pictures."""
    files = [jpeg(seed, side) for seed in range(DISTINCT)]
    tagger = RamPlusTagger(runner, tuple(map(str, range(config.tags))), rgb, batch=batch)

    def pictures(number: int) -> Iterator[Picture]:
        return (Picture(str(i), files[i % DISTINCT]) for i in range(number))

    for _ in tagger.tag(pictures(2 * (AHEAD + 1) * batch)):  # as many buffers as are in use at once
        pass
    start = time.perf_counter()
    done = sum(1 for _ in tagger.tag(pictures(count)))
    spent = time.perf_counter() - start
    if done != count:
        raise RuntimeError(f"{done} of {count} pictures were tagged")
    return spent


def jpeg(seed: int, side: int) -> bytes:
    """A picture with the detail of a photo: noise at several scales."""
    random = np.random.default_rng(seed)
    picture = np.zeros((side, side, 3), np.float32)
    for cells in (4, 16, 64):
        noise = Image.fromarray(random.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        picture += np.asarray(noise.resize((side, side), Image.Resampling.BICUBIC), np.float32) / 3
    out = io.BytesIO()
    Image.fromarray(picture.astype(np.uint8)).save(out, "JPEG", quality=90)
    return out.getvalue()


if __name__ == "__main__":
    main()
