"""Settings as they are written on a command line."""

import json
from collections.abc import Sequence
from typing import Any

from trainables.core.errors import ConfigurationError


def parse_settings(assignments: Sequence[str]) -> dict[str, Any]:
    """KEY=VALUE pairs; a value is read as JSON where it is JSON (8, 1e-3, true), else as text.

    Raises:
        ConfigurationError: an argument without "=", or a key given twice.
    """
    settings: dict[str, Any] = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not key or not text:
            raise ConfigurationError(f"bad --set {assignment!r}: write --set KEY=VALUE, for example --set epochs=20")
        if key in settings:
            raise ConfigurationError(f"--set {key} is given twice ({settings[key]!r} and {text!r}); give it once")
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            value = text
        settings[key] = tuple(text.split(",")) if key in ("attributions", "metrics") else value
    return settings
