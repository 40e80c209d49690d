"""Removal of credentials from records, logs and messages."""

import os
import re

SECRET_NAMES = re.compile(r"SECRET|PASSWORD|PASSWD|TOKEN|ACCESS_KEY|API_KEY|CREDENTIAL", re.IGNORECASE)
IN_URL = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://)[^/\s:@]*(:[^/\s@]*)?@", re.IGNORECASE)
SHORTEST = 6
"""Shorter values are kept: scrubbing them would remove ordinary words."""
MARK = "***"


def scrub(text: str) -> str:
    """`text` without the user and password of any URL, and without the values of variables named like secrets."""
    text = IN_URL.sub(rf"\g<scheme>{MARK}@", text)
    values = {v for name, v in os.environ.items() if SECRET_NAMES.search(name) and len(v) >= SHORTEST}
    for value in sorted(values, key=len, reverse=True):
        text = text.replace(value, MARK)
    return text
