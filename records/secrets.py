"""Removal of credentials and control characters from what is stored, logged or shown."""

import os
import re
import sys
from functools import lru_cache
from typing import TextIO
from urllib.parse import unquote

SECRET_NAMES = re.compile(
    r"SECRET|PASSW|PASSPHRASE|TOKEN|CREDENTIAL|SIGNATURE|AUTHORIZATION|ACCESS_?KEY|API_?KEY|(?<![A-Z])(KEY|PWD|AUTH|SIG)(?![A-Z])",
    re.IGNORECASE,
)
PUBLIC_NAMES = re.compile(r"(^|_)(FILE|PATH|DIR|SOCK|MODE|TYPE|USER|USERNAME|HOST|PORT)$|^PWD$", re.IGNORECASE)
"""Variables named like secrets whose values are none, such as SSH_AUTH_SOCK."""
USER_PART = re.compile(
    r"""(?P<scheme>[a-z][a-z0-9+.-]{0,30}://)
    (?P<login>
        # user:password, in which databases allow @ and /. A port with a later @ may be the start of a password.
        (?<!http://)(?<!https://)[^/\s\[:]*:\S*@ | [^/\s\[:@]*:\S*@ | [^/\s\[:]*:(?!\d{1,5}[/?\#])\S*@
        # A user or token alone; a later @ belongs to the path.
        | [^/\s\[]*@
    )""",
    re.IGNORECASE | re.VERBOSE,
)
"""The user part of a URL. Where its end is in doubt, rather too much than too little of the URL."""
PARAMETER = re.compile(r"(?P<start>[?&;#](?P<name>[^\s=&;?#]+)=)(?P<value>[^\s&#]*)")
SHORTEST = 6
"""Shorter values are kept: scrubbing them would remove ordinary words."""
MARK = "***"


def scrub(text: str) -> str:
    """`text` without the values of secret variables, and without the user, password and secret parameters of any URL.

    A value is also removed where it is URL-encoded, in whole or in part.
    """
    text = scrub_urls(text)
    values = {part for name, value in os.environ.items() for part in _secrets_in(name, value) if len(part) >= SHORTEST}
    for value in sorted(values, key=len, reverse=True):
        text = _spellings(value).sub(MARK, text)
    return text


def scrub_urls(text: str) -> str:
    """`text` without the user, password and secret parameters of any URL."""

    def hidden(match: re.Match[str]) -> str:
        return match["start"] + MARK if SECRET_NAMES.search(unquote(match["name"])) else match[0]

    return USER_PART.sub(rf"\g<scheme>{MARK}@", PARAMETER.sub(hidden, text))


def is_secret(name: str, value: str) -> bool:
    """Whether a variable is named like a secret, or its value is a URL with a login."""
    return _named_secret(name) or scrub_urls(value) != value


def _secrets_in(name: str, value: str) -> set[str]:
    """The value of a variable named like a secret, else the passwords of a URL; also decoded."""
    secrets = {value}
    if not _named_secret(name):
        secrets = {match["login"].removesuffix("@").partition(":")[2] for match in USER_PART.finditer(value)}
        secrets |= {
            match["value"] for match in PARAMETER.finditer(value) if SECRET_NAMES.search(unquote(match["name"]))
        }
    return secrets | set(map(unquote, secrets))


def _named_secret(name: str) -> bool:
    return bool(SECRET_NAMES.search(name) and not PUBLIC_NAMES.search(name))


@lru_cache
def _spellings(value: str) -> re.Pattern[str]:
    """Matches a value whose characters may each be percent-encoded."""

    def either(character: str) -> str:
        encoded = "".join(f"%{byte:02x}" for byte in character.encode(errors="surrogateescape"))
        return f"(?:{re.escape(character)}|(?i:{encoded}){'|[+]' if character == ' ' else ''})"

    return re.compile("".join(map(either, value)))


SHOWN_AS = {
    **{code: 0x2400 + code for code in range(32) if chr(code) not in "\t\n"},
    **dict.fromkeys((*range(0x7F, 0xA0), 0x2028, 0x2029, *range(0xD800, 0xE000)), 0xFFFD),
    **dict.fromkeys((0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)), 0xFFFD),
}
"""Replacements of characters that command a terminal, reverse its text, or cannot be written as UTF-8."""


def printable(text: str) -> str:
    """`text` with control characters replaced by visible symbols, such as ␛ for an escape."""
    return text.translate(SHOWN_AS)


def show(text: str, file: TextIO | None = None, end: str = "\n") -> None:
    """Print text that may hold names from data or an address."""
    print(printable(scrub(text)), file=file or sys.stdout, end=end)
