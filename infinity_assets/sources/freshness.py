"""How long ago a source may have been looked at, and what it is called when that is too long."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, Literal

State = Literal["ok", "look", "failed"]

#: ``weekly_full_check`` looks at every source once a week. One that is a day late is worth a look; two weeks
#: without are a schedule that is off, or a source that nobody reaches (our choice).
WARN_AFTER: Final = timedelta(days=8)
FAIL_AFTER: Final = timedelta(days=15)


def state_of(looked_at: datetime | None, now: datetime) -> State:
    """``failed`` where it was never looked at, or too long ago; ``look`` where that is near."""
    if looked_at is None or now - looked_at > FAIL_AFTER:
        return "failed"
    return "look" if now - looked_at > WARN_AFTER else "ok"
