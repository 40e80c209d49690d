"""The result of the check: tables for the terminal, JSON, and Markdown for an issue."""

import json
import math
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.gpu_check.comparison import Comparison
from benchmarks.gpu_check.sharing import Throughput
from benchmarks.methods import machine


@dataclass(frozen=True)
class Result:
    """What was checked, and on what."""

    device: str
    comparisons: Sequence[Comparison]
    throughput: Sequence[Throughput]

    @property
    def failures(self) -> list[Comparison]:
        return [each for each in self.comparisons if not each.holds]

    @property
    def holds(self) -> bool:
        return not self.failures and not any(each.error for each in self.throughput)

    @property
    def sentence(self) -> str:
        """The answer in one line."""
        wrong = len(self.failures)
        differ = f"{wrong} of {len(self.comparisons)} comparisons differ by more than their tolerance"
        return differ if wrong else f"all {len(self.comparisons)} comparisons hold"


def described(device: str) -> str:
    """What a device is: a GPU's name, memory and software."""
    if device != "cuda":
        return f"{device}; {machine()}"
    gpu = torch.cuda.get_device_properties(0)
    versions = f"CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"
    return f"{gpu.name}, {gpu.total_memory / 2**30:.0f} GiB, {versions}; {machine()}, {platform.system()}"


def show(console: Console, result: Result) -> None:
    """Print what failed, a line a part, and the throughput."""
    for title, header, rows in _tables(result):
        if rows:
            table = Table(*header, title=title, title_justify="left")
            for row in rows:
                table.add_row(*row)
            console.print(table)
    console.print(f"{result.device}: {result.sentence}", soft_wrap=True, markup=False)


def write(result: Result, folder: Path) -> tuple[Path, Path]:
    """Write gpu_check.json and gpu_check.md, and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    data, page = folder / "gpu_check.json", folder / "gpu_check.md"
    content: dict[str, Any] = {
        "device": result.device,
        "date": date.today().isoformat(),
        "holds": result.holds,
        "comparisons": [{**asdict(each), "holds": each.holds} for each in result.comparisons],
        "throughput": [asdict(each) for each in result.throughput],
    }
    data.write_text(json.dumps(_finite(content), indent=1, allow_nan=False) + "\n")
    lines = [f"`make gpu-check`, {date.today().isoformat()}, {result.device}: **{result.sentence}**"]
    for title, header, rows in _tables(result):
        if rows:
            lines += ["", f"{title}:", "", _row(header), _row("---" for _ in header), *map(_row, rows)]
    page.write_text("\n".join(lines) + "\n")
    return data, page


def _tables(result: Result) -> list[tuple[str, tuple[str, ...], list[tuple[str, ...]]]]:
    """Title, header and rows of each table."""
    parts = list(dict.fromkeys(each.part for each in result.comparisons))
    by_part = [(part, [each for each in result.comparisons if each.part == part]) for part in parts]
    return [
        (
            "Differs",
            ("part", "what", "difference", "tolerance", "error"),
            [(e.part, e.name, f"{e.difference:.2g}", f"{e.tolerance:g}", e.error) for e in result.failures],
        ),
        ("Against the processor", ("part", "compared", "hold", "largest difference"), [_summary(*p) for p in by_part]),
        (
            "A GPU shared by 1 / share trials",
            ("--gpus-per-trial", "model", "trials an hour", "MiB a trial", "MiB beside it", "error"),
            [
                (f"{e.share:g}", e.model, f"{e.trials_an_hour:.0f}", _mib(e.memory_mib), _mib(e.context_mib), e.error)
                for e in result.throughput
            ],
        ),
    ]


def _summary(part: str, compared: Sequence[Comparison]) -> tuple[str, ...]:
    largest = max((each.difference for each in compared if math.isfinite(each.difference)), default=math.nan)
    return part, str(len(compared)), str(sum(each.holds for each in compared)), f"{largest:.2g}"


def _mib(memory: float | None) -> str:
    return "" if memory is None else f"{memory:.0f}"


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _finite(value: Any) -> Any:
    """JSON has no NaN: null."""
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
