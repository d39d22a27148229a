"""Equal and near pictures as imagededup finds them; runs in an environment that has it, and nothing of ours.

Run: ``python _image_peers.py find FOLDER OUTPUT.json``: pairs of files within pHash distance 4, by its own
defaults. ``hash``: the pHash of each file as Data-Juicer's operator has it made, to say which pictures that
operator called equal; it writes only which one of them it kept. Modules for its neural network are stood in
for by nothing, which spares it their import.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from unittest.mock import MagicMock

RADIUS = 4


def main(what: str, folder: Path, output: Path) -> None:
    """Write what was found."""
    for name in ("torch", "torch.nn", "torch.utils", "torch.utils.data"):
        sys.modules[name] = MagicMock()
    sys.modules["torch"].Tensor = type("Tensor", (), {})
    for name in ("torchvision", "torchvision.models", "torchvision.models.vision_transformer"):
        sys.modules[name] = MagicMock()
    sys.modules["torchvision.transforms"] = MagicMock()
    from imagededup.methods import PHash  # noqa: PLC0415 - is there in its own environment only

    hasher = PHash(verbose=False)
    if what == "find":
        found = hasher.find_duplicates(image_dir=folder, max_distance_threshold=RADIUS)
        pairs = {tuple(sorted((a, b))) for a, others in found.items() for b in others}
        output.write_text(json.dumps(sorted(pairs)))
        return
    import numpy as np  # noqa: PLC0415
    from PIL import Image, ImageOps  # noqa: PLC0415

    hashes = {}
    for path in folder.iterdir():
        upright = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
        hashes[path.name] = hasher.encode_image(image_array=np.array(upright))
    output.write_text(json.dumps(hashes))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
