"""What an object store's refusal means, in words that say what to do."""

from __future__ import annotations

import re
from typing import Final

from infinity_assets.errors import StoreError

#: S3's error codes, and those of servers that speak its protocol.
CREDENTIALS: Final = frozenset(
    {
        *("AccessDenied", "ExpiredToken", "InvalidAccessKeyId", "InvalidToken", "SignatureDoesNotMatch"),
        *("TokenRefreshRequired", "RequestTimeTooSkewed", "AuthorizationHeaderMalformed"),
    }
)
THROTTLED: Final = frozenset({"SlowDown", "ServiceUnavailable", "RequestLimitExceeded", "TooManyRequests"})

_CODE: Final = re.compile(r"<Code>(\w+)</Code>(?:\s*<Message>([^<]{0,200})</Message>)?")


def trouble(error: BaseException) -> StoreError | None:
    """The refusal of an object store behind an error of its clients; None where the error is another one.

    Lance and obstore raise errors of many types for it, with the server's answer in their text. By then they
    have tried again where that helps: ten times for one that throttles.
    """
    found = _CODE.search(str(error))
    if found is None:
        return None
    code, message = found[1], found[2] or ""
    said = f"{code}: {message}".rstrip(": ")
    if code in CREDENTIALS:
        what = "the object store refuses the credentials"
        return StoreError(f"{what} ({said}); renew them and run again: what is finished is kept")
    if code in THROTTLED:
        what = "the object store asked to slow down until the retries were used up"
        return StoreError(f"{what} ({said}); run fewer at once, or later: what is finished is kept")
    return StoreError(f"the object store refused a request ({said}); what is finished is kept")
