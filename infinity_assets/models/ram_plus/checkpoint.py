"""Weights: the published pickle made into safetensors once, under this network's names, and loaded strictly.

A file of weights holds the network's parameters alone, and in its metadata the sizes (``config``) and where
the weights came from (``origin``). Only tensors are unpickled, and only from a file of a known SHA-256.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from infinity_assets.errors import InfinityError
from infinity_assets.models.ram_plus.config import RamPlusConfig

if TYPE_CHECKING:
    from torch import Tensor

_BLOCK = r"visual_encoder\.layers\.(\d+)\.blocks\.(\d+)\."
_LAYER = r"tagging_head\.encoder\.layer\.(\d+)\."

#: Published name -> this network's, as patterns asked in order; the first that matches the whole name holds.
#: None stands for tables that follow from the sizes: they are compared on conversion, not kept.
RULES: Final[tuple[tuple[str, str | None], ...]] = (
    (r"label_embed", "descriptions"),
    (r"reweight_scale", "temperature"),
    (r"image_proj\.(\w+)", r"to_joint.\1"),
    (r"wordvec_proj\.(\w+)", r"to_query.\1"),
    (r"fc\.(\w+)", r"score.\1"),
    (r"visual_encoder\.patch_embed\.proj\.(\w+)", r"visual.patch.\1"),
    (r"visual_encoder\.patch_embed\.norm\.(\w+)", r"visual.patch_norm.\1"),
    (r"visual_encoder\.norm\.(\w+)", r"visual.norm.\1"),
    (r"visual_encoder\.layers\.(\d+)\.downsample\.(\w+)\.(\w+)", r"visual.merges.\1.\2.\3"),
    (_BLOCK + r"(?:attn_mask|attn\.relative_position_index)", None),
    (_BLOCK + r"attn\.relative_position_bias_table", r"visual.stages.\1.\2.attn.bias"),
    (_BLOCK + r"mlp\.fc1\.(\w+)", r"visual.stages.\1.\2.up.\3"),
    (_BLOCK + r"mlp\.fc2\.(\w+)", r"visual.stages.\1.\2.down.\3"),
    (_BLOCK + r"(norm[12]|attn\.qkv|attn\.proj)\.(\w+)", r"visual.stages.\1.\2.\3.\4"),
    (_LAYER + r"crossattention\.self\.(query|key|value)\.(\w+)", r"blocks.\1.\2.\3"),
    (_LAYER + r"crossattention\.output\.dense\.(\w+)", r"blocks.\1.out.\2"),
    (_LAYER + r"crossattention\.output\.LayerNorm\.(\w+)", r"blocks.\1.norm1.\2"),
    (_LAYER + r"intermediate\.dense\.(\w+)", r"blocks.\1.up.\2"),
    (_LAYER + r"output\.dense\.(\w+)", r"blocks.\1.down.\2"),
    (_LAYER + r"output\.LayerNorm\.(\w+)", r"blocks.\1.norm2.\2"),
)


class WeightsError(InfinityError):
    """A file of weights is missing, not the one that was named, or of another network."""


def renamed(names: Iterable[str]) -> dict[str, str | None]:
    """Each published name with this network's; None where the tensor follows from the sizes.

    Raises:
        WeightsError: names those that no rule knows, and two that would become one.
    """
    found: dict[str, str | None] = {}
    unknown = []
    for name in names:
        for pattern, ours in RULES:
            if match := re.fullmatch(pattern, name):
                found[name] = match.expand(ours) if ours is not None else None
                break
        else:
            unknown.append(name)
    kept = [ours for ours in found.values() if ours is not None]
    twice = sorted({ours for ours in kept if kept.count(ours) > 1})
    if unknown or twice:
        told = f"unknown names: {_some(unknown)}" if unknown else f"two tensors for: {_some(twice)}"
        raise WeightsError(f"not a checkpoint of RAM++; {told}")
    return found


def refuse_unlike(
    expected: Mapping[str, tuple[int, ...]], given: Mapping[str, tuple[int, ...]], file: str
) -> None:
    """Refuse names and shapes that are not exactly those of the network.

    Raises:
        WeightsError: names what is missing, unexpected or of another shape.
    """
    missing = sorted(expected.keys() - given.keys())
    extra = sorted(given.keys() - expected.keys())
    other = [
        f"{name} is {given[name]}, not {shape}"
        for name, shape in sorted(expected.items())
        if name in given and given[name] != shape
    ]
    kinds = (("missing", missing), ("unexpected", extra), ("other shape", other))
    told = [f"{kind}: {_some(which)}" for kind, which in kinds if which]
    if told:
        raise WeightsError(f"{file}: not the weights of this network; {'; '.join(told)}")


def shapes(config: RamPlusConfig) -> dict[str, tuple[int, ...]]:
    """Name and shape of every parameter, without memory for any."""
    import torch

    from infinity_assets.models.ram_plus.network import RamPlus

    with torch.device("meta"):
        network = RamPlus(config)
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hex.

    Raises:
        WeightsError: if it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror}; name an existing file") from error


def convert(pickled: Path, sha256: str, out: Path, config: RamPlusConfig) -> None:
    """Turn the published checkpoint (a pickle) into a file of weights.

    Args:
        pickled: ``ram_plus_swin_large_14m.pth``: a dictionary with the tensors under ``model``.
        sha256: hex; the file is not opened as a pickle unless it has this hash.
        out: file to write; it appears whole or not at all.
        config: sizes of the network.

    Raises:
        WeightsError: if the hash is another, or names, shapes or derived tables are not the network's.
    """
    import torch

    found = file_sha256(pickled)
    if found != sha256.strip().lower():
        raise WeightsError(f"{pickled}: SHA-256 is {found}, not {sha256}; fetch the file again")
    try:
        content = torch.load(pickled, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:
        raise WeightsError(f"{pickled}: holds more than tensors, or is no checkpoint: {error}") from error
    published = content.get("model") if isinstance(content, dict) else None
    if not isinstance(published, dict) or not all(torch.is_tensor(t) for t in published.values()):
        raise WeightsError(f"{pickled}: holds no tensors under `model`; is it the RAM++ checkpoint?")
    names = renamed(published)
    _check_derived({name: published[name] for name, ours in names.items() if ours is None}, config, pickled)
    state = {ours: published[name] for name, ours in names.items() if ours is not None}
    refuse_unlike(shapes(config), {name: tuple(tensor.shape) for name, tensor in state.items()}, str(pickled))
    save(state, config, out, origin=f"sha256:{found}")


def _check_derived(derived: Mapping[str, Tensor], config: RamPlusConfig, file: Path) -> None:
    """The tables that are not kept must be those that the network makes for itself."""
    import torch

    from infinity_assets.models.ram_plus.swin import apart, relative_positions

    for name, tensor in derived.items():
        stage = int(name.split(".")[2])
        side = config.side(stage)
        window = min(side, config.window)
        ours = relative_positions(window) if name.endswith("index") else apart(side, window, window // 2)
        if tuple(tensor.shape) != tuple(ours.shape) or not torch.equal(tensor.to(ours.dtype), ours):
            raise WeightsError(f"{file}: {name} is not the table of windows of {window} patches")


def save(state: Mapping[str, Tensor], config: RamPlusConfig, out: Path, *, origin: str) -> None:
    """Write a file of weights; it appears whole or not at all."""
    from safetensors.torch import save_file

    staged = out.with_name(f".{out.name}.staged")
    metadata = {"config": config.dumps(), "origin": origin}
    save_file({name: tensor.contiguous() for name, tensor in sorted(state.items())}, staged, metadata)
    staged.replace(out)


def read_config(path: Path) -> RamPlusConfig:
    """The sizes that a file of weights states.

    Raises:
        WeightsError: if it is no such file.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            return RamPlusConfig.loads((file.metadata() or {}).get("config", ""))
    except (OSError, SafetensorError, ValueError) as error:
        raise WeightsError(
            f"{path}: not a file of RAM++ weights: {error}; convert the checkpoint first"
        ) from error


def load(path: Path, *, descriptions: Path | None = None, vocabulary: int | None = None) -> Any:
    """The network of a file of weights, in float32 on the CPU, ready for inference.

    Args:
        path: what :func:`convert` or :func:`save` wrote.
        descriptions: another matrix, for an open set: safetensors with one tensor ``descriptions`` of
            ``(tags, descriptions, joint)``, embedded by the text encoder that the network was trained with.
        vocabulary: how many tags there are to be, checked where given.

    Raises:
        WeightsError: says which names are missing, unexpected or of another shape.
    """
    import dataclasses

    from safetensors.torch import load_file

    from infinity_assets.models.ram_plus.network import RamPlus

    config = read_config(path)
    state = load_file(path)
    refuse_unlike(shapes(config), {name: tuple(tensor.shape) for name, tensor in state.items()}, str(path))
    if descriptions is not None:
        matrix = _matrix(descriptions, config.joint)
        state["descriptions"] = matrix.flatten(0, 1)
        config = dataclasses.replace(config, tags=matrix.shape[0], descriptions=matrix.shape[1])
    if vocabulary is not None and vocabulary != config.tags:
        raise WeightsError(
            f"{descriptions or path}: {config.tags} tags, but the list has {vocabulary}; give its own list"
        )
    network = RamPlus(config)
    network.load_state_dict({name: tensor.float() for name, tensor in state.items()}, strict=True)
    return network.eval().requires_grad_(False)


def _matrix(path: Path, joint: int) -> Any:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        found = load_file(path)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{path}: cannot be read as safetensors: {error}") from error
    matrix = found.get("descriptions")
    if (
        len(found) != 1
        or matrix is None
        or matrix.ndim != 3
        or matrix.shape[2] != joint
        or not matrix.numel()
    ):
        raise WeightsError(f"{path}: must hold one tensor `descriptions` of (tags, descriptions, {joint})")
    return matrix


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
