"""Which models can look at pictures, and how one is opened in whichever process needs it."""

from __future__ import annotations

from infinity_assets.models.ram_plus.tagger import RamPlusFiles, open_ram_plus
from infinity_assets.models.taggers.protocol import Decode, Options, PictureTagger


def open_tagger(options: Options, decode: Decode) -> PictureTagger:
    """The tagger that some options name, loaded once a process.

    Args:
        options: those of :attr:`RamPlusFiles.options`.
        decode: from stored bytes to RGB pixels.
    """
    return open_ram_plus(RamPlusFiles(**options), decode)
