"""One message to a webhook: to where a person pointed it and nowhere else, within seconds, or an error."""

from __future__ import annotations

import http.client
import json
import os
from collections.abc import Mapping
from typing import Any, Final

from infinity_assets.errors import SourceError
from infinity_assets.sources.web import Address

#: The environment variable with the address. It is a secret: whoever knows it may write there.
WEBHOOK: Final = "INFINITY_ALERT_WEBHOOK"

TIMEOUT_S: Final = 5.0


def send(message: Mapping[str, Any]) -> None:
    """Post a message as JSON to the address that the environment names.

    Public ``https`` hosts alone, unless ``INFINITY_ALLOW_HOSTS`` lists the host; redirects are not followed,
    what is answered is not read, and the address is in no message and no log.

    Raises:
        SourceError: if it could not be delivered.
    """
    address = Address(os.environ[WEBHOOK], shown=f"the address in {WEBHOOK}", timeout_s=TIMEOUT_S)
    headers = {"Content-Type": "application/json", "User-Agent": "infinity-assets"}
    try:
        connection = address.connect()
        try:
            connection.request("POST", address.target, json.dumps(message).encode(), headers)
            status = connection.getresponse().status
        finally:
            connection.close()
    except (OSError, http.client.HTTPException) as error:
        raise SourceError(f"{address.shown}: {type(error).__name__}: {error}") from None
    if not http.HTTPStatus.OK <= status < http.HTTPStatus.MULTIPLE_CHOICES:
        raise SourceError(f"{address.shown}: answered {status}; redirects are not followed")
