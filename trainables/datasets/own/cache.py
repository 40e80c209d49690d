"""The user's cache folder, where decoded images, fetched objects and file digests are kept between processes."""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import platformdirs


def cache_folder(kind: str) -> Path | None:
    """The folder of one kind of things, made if need be; None where none can be written: then nothing is kept.

    It lies in the user's cache folder (XDG_CACHE_HOME moves it), may be removed at any time and is never cleared.
    """
    folder = Path(platformdirs.user_cache_dir("saliency-sweep")) / "datasets" / kind
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None


def write_whole(path: Path, data: bytes) -> None:
    """Write a file whole or not at all; a full disk is no failure, as the cache is a convenience."""
    partial = path.with_name(f".{path.name}-{uuid4().hex}")
    try:
        partial.write_bytes(data)
        partial.replace(path)
    except OSError:
        with suppress(OSError):
            partial.unlink()


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file; an empty one if there is none that can be read."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
