"""Removal of credentials from records, logs and messages."""

import os
import re
from collections.abc import Mapping

SECRET_NAMES = re.compile(r"SECRET|PASSWORD|PASSWD|TOKEN|ACCESS_KEY|API_KEY|CREDENTIAL", re.IGNORECASE)
IN_URL = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://)[^/\s:@]*(:[^/\s@]*)?@", re.IGNORECASE)
SHORTEST = 6
"""Shorter values are kept: scrubbing them would remove ordinary words."""
MARK = "***"


def scrub(text: str, environment: Mapping[str, str] | None = None) -> str:
    """`text` without the user and password of any URL, and without the values of variables named like secrets.

    Args:
        text: a message or traceback that leaves this process.
        environment: the variables; None for os.environ.
    """
    variables = os.environ if environment is None else environment
    text = IN_URL.sub(rf"\g<scheme>{MARK}@", text)
    values = {v for name, v in variables.items() if SECRET_NAMES.search(name) and len(v) >= SHORTEST}
    for value in sorted(values, key=len, reverse=True):
        text = text.replace(value, MARK)
    return text
