"""What needs torch lies in ``in_torch`` and runs in an environment of its own: see ``test_in_torch.py``."""

from __future__ import annotations

from importlib.util import find_spec

collect_ignore = [] if find_spec("torch") else ["in_torch"]
