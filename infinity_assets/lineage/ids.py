"""What ids of rows look like: all that an address of a sample needs to know, without any table."""

from __future__ import annotations

import re
from typing import Final

#: Of a sample, and of a planned line of synthesis.
SAMPLE_ID: Final = re.compile(r"([a-z0-9_]{1,48})-[0-9a-f]{32}")
IMAGE_ID: Final = re.compile(r"[0-9a-f]{32}")
