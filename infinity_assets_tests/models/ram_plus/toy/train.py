"""Trains the toy weights beside this file, from a seed, on one core in some 6 CPU-minutes.

``.envs/ram/bin/python -m infinity_assets_tests.models.ram_plus.toy.train`` writes ``toy.safetensors``, its
``toy.sha256``, ``tags.txt`` and ``thresholds.txt``. The threshold of a tag is the lowest at which 98 % of
those given are right, on drawings that neither the training nor the tests see. Another processor rounds
otherwise: the weights then differ in their last bits, and with them the hash.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from infinity_assets.models.ram_plus import checkpoint
from infinity_assets.models.ram_plus.config import TINY
from infinity_assets.models.ram_plus.network import RamPlus
from infinity_assets_tests.models.ram_plus.toy.drawings import TAGS, drawings

FOLDER = Path(__file__).parent
STEPS, BATCH, RATE, WARM_UP = 1_900, 32, 1.2e-3, 60
CALIBRATION_SEED, CALIBRATION_DRAWINGS, RIGHT = 1_000_000, 2_000, 0.98


def main(folder: Path = FOLDER, steps: int = STEPS) -> None:
    """Train, calibrate, write."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = RamPlus(TINY).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=0.02)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / WARM_UP) * (1 - step / steps)
        pixels, truth = drawings(step + 1, BATCH)
        loss = F.binary_cross_entropy_with_logits(
            network(torch.from_numpy(pixels)), torch.from_numpy(truth).float()
        )
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        if (step + 1) % 100 == 0:
            print(f"{step + 1} steps, {time.process_time():.0f} CPU-s, loss {loss.item():.4f}", flush=True)
    state = {name: tensor.half() for name, tensor in network.state_dict().items()}
    weights = folder / "toy.safetensors"
    checkpoint.save(state, TINY, weights, origin=f"{Path(__file__).name}, {steps} steps")
    (folder / "toy.sha256").write_text(checkpoint.file_sha256(weights) + "\n")
    (folder / "tags.txt").write_text("\n".join(TAGS) + "\n")
    thresholds = calibrated(checkpoint.load(weights))
    (folder / "thresholds.txt").write_text("\n".join(f"{value:.2f}" for value in thresholds) + "\n")
    print(f"thresholds {thresholds}, {time.process_time():.0f} CPU-s in all")


def calibrated(network: RamPlus) -> list[float]:
    """For each tag the lowest threshold from 0.45 on that is right often enough; 1.0 if none is."""
    pixels, truth = drawings(CALIBRATION_SEED, CALIBRATION_DRAWINGS)
    with torch.inference_mode():
        logits = torch.cat([network(part) for part in torch.from_numpy(pixels).split(200)])
    given = logits.sigmoid().numpy()
    found = []
    for tag in range(len(TAGS)):
        for threshold in np.arange(45, 100) / 100:
            kept = given[:, tag] > threshold
            if kept.any() and truth[kept, tag].mean() >= RIGHT:
                found.append(float(threshold))
                break
        else:
            found.append(1.0)
    return found


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
