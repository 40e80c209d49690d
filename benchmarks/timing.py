"""What the benchmarks share: processor time, ways that take turns, and the machine."""

import os
import platform
import time
from collections.abc import Callable, Mapping
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
