"""Tokens a second of a model shaped as Qwen2.5-VL-7B: prompts with a picture read, answers written.

Run: ``python -m benchmarks.vlm_speed [--size full] [--side 512]`` with torch and transformers (5.17 or
later). On a CPU the environment of ``make vllm`` has both, where
``PYTHONPATH=infinity_assets/models/vlm/torch_without_cuda`` lets them load, and the model is a tiny one.

Speed only: the weights are random and the answers mean nothing. It runs in transformers, not in vLLM, whose
kernels and scheduling differ: what it says of a GPU is a first guess for ``speed`` in ``engines.yaml``,
from which ``infinity price`` tells GPU-hours before there is a server. Two figures at several batch sizes:

- reading: pictures through the vision tower, all tokens through the language model, the next token of each;
- writing: one step for a whole batch, at the mean length of its contexts, recorded as a CUDA graph.

Reading is compared with the machine's bf16 matrix rate in the same run.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch.nn.attention.varlen import varlen_attn
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from benchmarks._common import report

PATCH, MERGE = 14, 2  #: pixels of a patch's side; patches of a token's side
FULL = {"vision": (1280, 32, 16, 3420), "text": (3584, 28, 28, 4, 18944, 152064, (16, 24, 24))}
TINY = {"vision": (64, 2, 2, 128), "text": (128, 2, 4, 2, 256, 512, (4, 6, 6))}
TARGET = "speed only, random weights; transformers, not vLLM"


def main() -> None:
    """Print what was measured and, last, one line of JSON."""
    gpu = torch.cuda.is_available()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=("full", "tiny"), default="full" if gpu else "tiny")
    parser.add_argument("--side", type=int, default=512, help="pixels of the pictures' side")
    parser.add_argument("--text", type=int, default=256, help="tokens of a prompt beside its picture")
    parser.add_argument("--answer", type=int, default=256, help="tokens of an answer")
    parser.add_argument("--reading", type=int, nargs="+", default=[1, 4, 16, 32] if gpu else [1, 2])
    parser.add_argument("--writing", type=int, nargs="+", default=[1, 16, 64, 256] if gpu else [1, 4])
    given = parser.parse_args()
    device = "cuda" if gpu else "cpu"
    torch.manual_seed(0)
    with torch.inference_mode():
        model = random_model(FULL if given.size == "full" else TINY, device)
        grid = max(1, round(given.side / PATCH / MERGE)) * MERGE
        shown = (grid // MERGE) ** 2
        prompt = shown + given.text
        reading = {
            batch: batch * prompt / seconds(lambda b=batch: read(model, b, grid, given.text), device)
            for batch in given.reading
        }
        context = prompt + given.answer // 2
        writing = {batch: batch / step_seconds(model, batch, context, device) for batch in given.writing}
        figures = {
            "device": torch.cuda.get_device_name() if gpu else f"cpu, {torch.get_num_threads()} threads",
            "size": given.size,
            "parameters_m": round(sum(p.numel() for p in model.parameters()) / 1e6, 1),
            "picture_side": grid * PATCH,
            "picture_tokens": shown,
            "prompt_tokens": prompt,
            "context_tokens": context,
            "prefill_tokens_per_s": {batch: round(rate) for batch, rate in reading.items()},
            "decode_tokens_per_s": {batch: round(rate) for batch, rate in writing.items()},
            "prefill_share_of_matrix_rate": round(
                max(reading.values()) / prompt * operations(model, grid, prompt) / matrix_rate(device), 3
            ),
        }
    for name, value in figures.items():
        print(f"{name:<30}{value}")
    report("vlm_speed", figures, TARGET, None, f"no target: figures for `infinity price`; ran on {device}")


def random_model(sizes: dict[str, tuple[Any, ...]], device: str) -> Any:
    """The model with random weights in bf16, made where it runs."""
    width, depth, heads, mlp = sizes["vision"]
    hidden, layers, queries, keys, inner, vocabulary, sections = sizes["text"]
    special = vocabulary - 8  # the ids of a picture's place and of its like, at the end of the vocabulary
    config = Qwen2_5_VLConfig(
        text_config={
            "hidden_size": hidden,
            "num_hidden_layers": layers,
            "num_attention_heads": queries,
            "num_key_value_heads": keys,
            "intermediate_size": inner,
            "vocab_size": vocabulary,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 1e6,
                "mrope_section": list(sections),
            },
            "bos_token_id": 0,
            "eos_token_id": 0,
        },
        vision_config={
            "hidden_size": width,
            "depth": depth,
            "num_heads": heads,
            "intermediate_size": mlp,
            "out_hidden_size": hidden,
            "fullatt_block_indexes": list(range(depth // 4 - 1, depth, max(1, depth // 4))),
        },
        image_token_id=special,
        video_token_id=special + 1,
        vision_start_token_id=special + 2,
        vision_end_token_id=special + 3,
    )
    with torch.device(device):
        model = Qwen2_5_VLForConditionalGeneration._from_config(
            config, dtype=torch.bfloat16, attn_implementation="sdpa"
        )
    if device == "cuda":
        windows_at_once(model.model.visual)
    return model.eval().requires_grad_(False)


def windows_at_once(visual: Any) -> None:
    """All windows of all pictures in one product, as servers do; transformers takes them one by one."""

    def attention(module: Any, q: Any, k: Any, v: Any, attention_mask: Any, **more: Any) -> tuple[Any, None]:
        parts = (each[0].transpose(0, 1).contiguous() for each in (q, k, v))
        bounds, longest = more["cu_seq_lens_q"].int(), int(more["max_length_q"])
        return varlen_attn(*parts, bounds, bounds, longest, longest)[None], None

    ALL_ATTENTION_FUNCTIONS.register("flash_varlen", attention)  # "flash" in the name asks for bounds
    visual.config._attn_implementation = "flash_varlen"


def read(model: Any, batch: int, grid: int, text: int) -> Any:
    """The next token of prompts that show one picture each, every key and value kept."""
    device, config = model.device, model.config
    shown = (grid // MERGE) ** 2
    ids = torch.randint(1, config.image_token_id, (batch, shown + text), device=device)
    ids[:, :shown] = config.image_token_id
    places = torch.arange(shown + text, device=device).expand(3, batch, -1)
    found = model.model(
        input_ids=ids,
        position_ids=places,
        pixel_values=torch.randn(
            batch * grid**2, 3 * 2 * PATCH**2, device=device, dtype=torch.bfloat16
        ),  # a picture is two equal frames
        image_grid_thw=torch.tensor([[1, grid, grid]] * batch, device=device),
        use_cache=True,
    )
    return model.lm_head(found.last_hidden_state[:, -1]).argmax(-1)


class FullContext:
    """Keys and values of contexts of one length; each step writes those of the last token anew."""

    def __init__(self, model: Any, batch: int, length: int) -> None:
        text = model.config.text_config
        width = text.hidden_size // text.num_attention_heads
        shape = (text.num_hidden_layers, 2, batch, text.num_key_value_heads, length, width)
        self._kept = torch.randn(shape, device=model.device, dtype=torch.bfloat16)

    def update(self, keys: Any, values: Any, layer: int, *_: Any) -> tuple[Any, Any]:
        """What transformers asks of a cache."""
        kept = self._kept[layer]
        kept[0, :, :, -1:], kept[1, :, :, -1:] = keys, values
        return kept[0], kept[1]


def step_seconds(model: Any, batch: int, context: int, device: str) -> float:
    """Of one more token for each context."""
    cache = FullContext(model, batch, context)
    ids = torch.ones(batch, 1, dtype=torch.long, device=device)
    places = torch.full((3, batch, 1), context - 1, device=device)

    def step() -> None:
        found = model.model.language_model(
            input_ids=ids,
            position_ids=places,
            attention_mask={"full_attention": None},  # each token sees the whole context
            past_key_values=cache,
            use_cache=True,
        )
        ids.copy_(model.lm_head(found.last_hidden_state).argmax(-1))

    if device == "cpu":
        return seconds(step, device)
    for _ in range(2):
        step()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return seconds(graph.replay, device, 20)


def seconds(work: Callable[[], Any], device: str, rounds: int = 5) -> float:
    """Median time of one call, after two that are not counted."""
    times = []
    for _ in range(rounds + 2):
        start = time.perf_counter()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return statistics.median(times[2:])


def operations(model: Any, grid: int, prompt: int) -> float:
    """Operations of reading one prompt: every matrix once for each token, attention left out."""
    visual = sum(p.numel() for p in model.model.visual.blocks.parameters()) * grid**2
    merger = sum(p.numel() for p in model.model.visual.merger.parameters()) * (grid // MERGE) ** 2
    text = sum(p.numel() for p in model.model.language_model.layers.parameters()) * prompt
    return 2.0 * (visual + merger + text + model.lm_head.weight.numel())


def matrix_rate(device: str) -> float:
    """Operations a second of a bf16 product of two large square matrices."""
    side = 8_192 if device == "cuda" else 1_024
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    return 2 * side**3 / seconds(lambda: a @ b, device)


if __name__ == "__main__":
    main()
