"""Requests as sweep.py makes them, without a command."""

from dataclasses import fields
from pathlib import Path
from typing import Any

from typer.main import get_command

import sweep
from driver.request import Request


def make_request(storage: str | Path, **options: Any) -> Request:
    """The request of a command with these options, on this machine and without MLflow."""
    defaults = get_command(sweep.app).make_context("sweep.py", []).params
    values = {**defaults, "address": "local", "tracking_uri": "none", "storage": str(storage), **options}
    return Request(**{field.name: values[field.name] for field in fields(Request)})
