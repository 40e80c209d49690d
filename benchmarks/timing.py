"""What the benchmarks share: processor time, ways that take turns, results that are continued, and the machine."""

import json
import os
import platform
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import torch
import typer

ROOT = Path(__file__).resolve().parent.parent
Methods = Annotated[list[str] | None, typer.Option(help="Only this method; may be repeated.")]


def processor_seconds(work: Callable[[], object]) -> float:
    """Processor time of `work` in this process, which other processes hardly disturb."""
    start = time.process_time()
    work()
    return time.process_time() - start


def in_turn(ways: Mapping[Any, Callable[[], Any]], rounds: int) -> pd.DataFrame:
    """[rounds, ways] results. The ways take turns, so that a noisy machine disturbs all alike."""
    turns = [[way() for way in ways.values()] for _ in range(rounds)]
    return pd.DataFrame(dict(zip(ways, zip(*turns, strict=True), strict=True)))


class Results(dict[str, Any]):
    """A dictionary whose entries are also appended to a file, and read from it at the start."""

    def __init__(self, file: Path):
        super().__init__()
        self.file = file
        for line in file.read_text().splitlines() if file.exists() else ():
            # The process may have been stopped while it wrote a line.
            with suppress(json.JSONDecodeError):
                super().__setitem__(*json.loads(line))

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, value)
        with self.file.open("a") as lines:
            lines.write("\n" + json.dumps([key, value]))


def print_table(table: pd.DataFrame, digits: int = 2) -> None:
    """Print a table of numbers."""
    print(table.to_string(float_format=f"{{:.{digits}f}}".format), flush=True)


def machine() -> str:
    """The processor and the versions of the measurement."""
    cpu = platform.processor() or platform.machine()
    if (info := Path("/proc/cpuinfo")).exists():
        names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line]
        cpu = next(iter(names), cpu)
    return f"{cpu}, {os.cpu_count()} cores, Python {platform.python_version()}, torch {torch.__version__}"
