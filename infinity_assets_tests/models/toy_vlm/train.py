"""Train the toy model from random weights, and say how often it is right on drawings that it has not seen.

Runs in the environment of the vLLM server (``make vllm``), from the repository's root:

    .envs/vllm/bin/python -m infinity_assets_tests.models.toy_vlm.train --out FOLDER --steps 2000

The shape is Qwen2.5-VL's, tiny: three text layers of width 128 and three vision layers of width 96, about a
million parameters. One thread and fixed seeds: the same machine and libraries give the same weights.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import time
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
)

from infinity_assets_tests.models.toy_vlm import drawings

BATCH = 32
RATE = 6e-4  #: peak of the learning rate; twice as much and it never learns which colour is the shape's
WEIGHT = 5.0  #: of colours and scores among the reply's tokens: the rest is form, and soon known
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<pad>"]
VISION = ["<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>"]
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
    "{% if m['content'] is string %}{{ m['content'] }}{% else %}{% for part in m['content'] %}"
    "{% if part['type'] == 'text' %}{{ part['text'] }}{% else %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def build_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level vocabulary of the words that the toy's prompts and replies consist of."""
    rng = random.Random(0)
    texts = [text for _ in range(3000) for text in drawings.example(rng, drawings.draw(rng))]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1024,
        special_tokens=SPECIAL + VISION,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts + ["user\n", "assistant\n", "system\n"] * 50, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<pad>",
        additional_special_tokens=SPECIAL + VISION,
        model_max_length=4096,
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = TEMPLATE
    return fast


def build_processor(tokenizer: PreTrainedTokenizerFast) -> Qwen2_5_VLProcessor:
    """Pictures of any size become ``SIDE`` squared pixels."""
    pixels = drawings.SIDE**2
    size = {"shortest_edge": pixels, "longest_edge": pixels}
    return Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(size=size),
        tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(size=size),
        chat_template=TEMPLATE,
    )


def build_model(tokenizer: PreTrainedTokenizerFast) -> Qwen2_5_VLForConditionalGeneration:
    """The network with random weights. Heads are 64 wide: vLLM on CPUs has no smaller ones that fit."""
    ids = tokenizer.convert_tokens_to_ids
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": 128,
            "intermediate_size": 384,
            "num_hidden_layers": 3,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "max_position_embeddings": 4096,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [8, 12, 12]},
            "tie_word_embeddings": False,
            "bos_token_id": None,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        },
        vision_config={
            "depth": 3,
            "hidden_size": 96,
            "intermediate_size": 288,
            "num_heads": 3,
            "patch_size": 14,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "window_size": 84,
            "fullatt_block_indexes": [0, 1, 2],
            "out_hidden_size": 128,
            "in_channels": 3,
        },
        image_token_id=ids("<|image_pad|>"),
        video_token_id=ids("<|video_pad|>"),
        vision_start_token_id=ids("<|vision_start|>"),
        vision_end_token_id=ids("<|vision_end|>"),
        tie_word_embeddings=False,
    )
    torch.manual_seed(0)
    model = Qwen2_5_VLForConditionalGeneration(config)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    return model


def prompt_text(text: str) -> str:
    """The chat template, written out for one picture and one text."""
    picture = "<|vision_start|><|image_pad|><|vision_end|>"
    return f"<|im_start|>user\n{picture}{text}<|im_end|>\n<|im_start|>assistant\n"


def batch(processor: Qwen2_5_VLProcessor, rng: random.Random) -> tuple[dict[str, Any], torch.Tensor]:
    """``BATCH`` fresh examples and their labels: the reply alone counts."""
    shown = [drawings.draw(rng) for _ in range(BATCH)]
    prompts, replies = zip(*(drawings.example(rng, drawing) for drawing in shown), strict=True)
    whole = [prompt_text(p) + reply + "<|im_end|>" for p, reply in zip(prompts, replies, strict=True)]
    processor.tokenizer.padding_side = "right"
    inputs = processor(text=whole, images=[d.image for d in shown], return_tensors="pt", padding=True)
    labels = inputs["input_ids"].clone()
    labels[inputs["attention_mask"] == 0] = -100
    tail = [len(ids) + 1 for ids in processor.tokenizer(list(replies))["input_ids"]]
    for row, (length, keep) in enumerate(zip(inputs["attention_mask"].sum(1).tolist(), tail, strict=True)):
        labels[row, : length - keep] = -100
    return dict(inputs), labels


def train(out: Path, steps: int) -> None:
    """Train, write the model in bf16, and print the accuracy."""
    torch.set_num_threads(1)
    tokenizer = build_tokenizer()
    processor, model = build_processor(tokenizer), build_model(tokenizer)
    print("parameters", sum(p.numel() for p in model.parameters()), "vocabulary", len(tokenizer), flush=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.95), weight_decay=0.01)
    words = [
        form.format(word) for word in (*drawings.COLOURS, *drawings.SCORES.values()) for form in ("{}", " {}")
    ]
    meant = torch.tensor([ids[0] for ids in tokenizer(words)["input_ids"] if len(ids) == 1])
    rng, mean, start = random.Random(1), None, time.process_time()
    for step in range(1, steps + 1):
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1.0, step / 100) * (1 - step / (steps + 1)) ** 0.7
        inputs, labels = batch(processor, rng)
        logits = model(**inputs).logits[:, :-1].float()
        weights = torch.where(torch.isin(labels[:, 1:], meant), WEIGHT, 1.0) * (labels[:, 1:] != -100)
        losses = torch.nn.functional.cross_entropy(logits.transpose(1, 2), labels[:, 1:], reduction="none")
        loss = (losses * weights).sum() / weights.sum()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        mean = loss.item() if mean is None else 0.95 * mean + 0.05 * loss.item()
        if step % 500 == 0:
            save(model, processor, out)
            right = accuracy(model, processor, 40)
            print(step, f"cpu {time.process_time() - start:.0f} s, loss {mean:.4f}", right, flush=True)
    model.eval().to(torch.bfloat16)
    print("sha256", save(model, processor, out))
    print("held out:", accuracy(model, processor, 200))


def save(model: Qwen2_5_VLForConditionalGeneration, processor: Qwen2_5_VLProcessor, out: Path) -> str:
    """Write the model in bf16 and all that a server needs; gives the sha256 of the weights."""
    weights = {name: tensor.to(torch.bfloat16) for name, tensor in model.state_dict().items()}
    model.save_pretrained(out, state_dict=weights)
    processor.save_pretrained(out)
    digest = hashlib.sha256((out / "model.safetensors").read_bytes()).hexdigest()
    (out / "model.safetensors.sha256").write_text(f"{digest}  model.safetensors\n")
    return digest


def accuracy(
    model: Qwen2_5_VLForConditionalGeneration, processor: Qwen2_5_VLProcessor, count: int
) -> dict[str, float]:
    """Shares of replies that are right, on ``count`` drawings of another seed."""
    rng, right = random.Random(99), {"ask": 0, "answer": 0, "accepts true": 0, "rejects false": 0}
    dtype, training = next(model.parameters()).dtype, model.training
    model.eval()

    def reply(drawing: drawings.Drawing, prompt: str) -> dict[str, Any]:
        inputs = processor(text=[prompt_text(prompt)], images=[drawing.image], return_tensors="pt")
        inputs["pixel_values"] = inputs["pixel_values"].to(dtype)
        ids = model.generate(**inputs, max_new_tokens=40, do_sample=False)[0, inputs["input_ids"].shape[1] :]
        try:
            found: dict[str, Any] = json.loads(processor.tokenizer.decode(ids, skip_special_tokens=True))
        except ValueError:
            return {}
        return found

    with torch.inference_mode():
        for _ in range(count):
            drawing, subject = drawings.draw(rng), rng.choice(drawings.SUBJECTS)
            question, style = rng.choice(drawings.questions(subject)), rng.choice(drawings.STYLES)
            true = drawing.colours[subject]
            false = rng.choice([colour for colour in drawings.COLOURS if colour != true])
            asked = reply(drawing, drawings.ask_prompt(subject))
            right["ask"] += asked.get("question") in drawings.questions(subject)
            said = reply(drawing, drawings.answer_prompt(question, style))
            right["answer"] += said.get("answer") == drawings.answer(subject, true, style)
            for key, colour, good in (("accepts true", true, True), ("rejects false", false, False)):
                prompt = drawings.judge_prompt(question, drawings.answer(subject, colour, style))
                right[key] += reply(drawing, prompt).get("score") == drawings.SCORES[good]
    model.train(training)
    return {key: value / count for key, value in right.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=2000)
    arguments = parser.parse_args()
    train(arguments.out, arguments.steps)
