"""``python -m infinity_assets.models.ram_plus convert|export``: prepare weights once, before use."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from infinity_assets.errors import InfinityError
from infinity_assets.models.ram_plus import checkpoint
from infinity_assets.models.ram_plus.config import SWIN_L
from infinity_assets.models.ram_plus.runners import export_onnx


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 1 after an expected error, told in one line."""
    parser = argparse.ArgumentParser(prog="python -m infinity_assets.models.ram_plus", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    convert = commands.add_parser("convert", help="the published .pth to .safetensors")
    convert.add_argument("pickled", type=Path, help="ram_plus_swin_large_14m.pth")
    convert.add_argument("out", type=Path, help="file to write, .safetensors")
    convert.add_argument("--sha256", required=True, help="of the .pth, as its publisher states it")
    export = commands.add_parser("export", help=".safetensors to .onnx")
    export.add_argument("weights", type=Path)
    export.add_argument("out", type=Path, help="file to write, .onnx")
    export.add_argument("--descriptions", type=Path, help="another matrix, for an open set")
    given = parser.parse_args(arguments)
    try:
        if given.command == "convert":
            checkpoint.convert(given.pickled, given.sha256, given.out, SWIN_L)
        else:
            export_onnx(checkpoint.load(given.weights, descriptions=given.descriptions), given.out)
    except InfinityError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{given.out}: SHA-256 {checkpoint.file_sha256(given.out)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
