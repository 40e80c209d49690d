"""Keeps credentials out of records, logs and messages."""

import os
import re
from collections.abc import Mapping

SECRET_NAMES = re.compile(r"SECRET|PASSWORD|PASSWD|TOKEN|ACCESS_KEY|API_KEY|CREDENTIAL", re.IGNORECASE)
IN_URL = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://)[^/\s:@]*(:[^/\s@]*)?@", re.IGNORECASE)
SHORTEST = 6
"""Shorter values are not scrubbed: they would black out ordinary words."""
MARK = "***"


def scrub(text: str, environment: Mapping[str, str] | None = None) -> str:
    """`text` without user and password of any URL, and without the value of any variable that names a secret.

    Args:
        text: a message, a traceback, anything that leaves this process.
        environment: os.environ where None.
    """
    variables = os.environ if environment is None else environment
    text = IN_URL.sub(rf"\g<scheme>{MARK}@", text)
    values = {v for name, v in variables.items() if SECRET_NAMES.search(name) and len(v) >= SHORTEST}
    for value in sorted(values, key=len, reverse=True):
        text = text.replace(value, MARK)
    return text
