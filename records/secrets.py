"""Removal of credentials from records, logs and messages."""

import os
import re

SECRET_NAMES = re.compile(r"SECRET|PASSWORD|PASSWD|TOKEN|ACCESS_KEY|API_KEY|CREDENTIAL", re.IGNORECASE)
IN_URL = re.compile(
    r"""(?P<scheme>[a-z][a-z0-9+.-]*://)
    (
        # user:password, in which databases allow @ and /; in http://host:5000/a@b the number is a port.
        (?<!http://)(?<!https://)[^/\s\[:]*:\S*@ | [^/\s\[:]*:(?!\d{1,5}[/?\#])\S*@
        # A user or token alone; a later @ belongs to the path.
        | [^/\s\[]*@
    )""",
    re.IGNORECASE | re.VERBOSE,
)
"""The user part of a URL. Where its end is in doubt, rather too much than too little of the URL."""
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
