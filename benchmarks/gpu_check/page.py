"""The result of the check, as Markdown for the terminal and an issue, and as JSON."""

import json
import math
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu_check.comparison import Comparison
from benchmarks.gpu_check.sharing import Throughput
from benchmarks.timing import machine
from docs.markdown import table

DIFFERS = ("part", "what", "difference", "tolerance", "error")
COMPARED = ("part", "compared", "hold", "largest difference")
SHARED = ("--gpus-per-trial", "model", "trials an hour", "MiB a trial", "MiB beside it", "error")


@dataclass(frozen=True)
class Result:
    """All comparisons and measurements on a device."""

    device: str
    comparisons: Sequence[Comparison]
    throughput: Sequence[Throughput]

    @property
    def holds(self) -> bool:
        return all(each.holds for each in self.comparisons) and not any(each.error for each in self.throughput)

    @property
    def page(self) -> str:
        """The failed comparisons, a row for each part, and the throughput."""
        failures, total = [each for each in self.comparisons if not each.holds], len(self.comparisons)
        sentence = f"all {total} comparisons hold"
        if failures:
            sentence = f"{len(failures)} of {total} comparisons differ by more than their tolerance"
        text = f"`make gpu-check`, {date.today().isoformat()}, {self.device}: **{sentence}**\n"
        rows: list[tuple[str, ...]] = [
            (e.part, e.name, f"{e.difference:.2g}", f"{e.tolerance:g}", e.error) for e in failures
        ]
        text += _section("Differs", DIFFERS, rows)
        rows = []
        for part, compared in groupby(sorted(self.comparisons, key=attrgetter("part")), attrgetter("part")):
            group = list(compared)
            largest = max((e.difference for e in group if math.isfinite(e.difference)), default=math.nan)
            rows.append((part, str(len(group)), str(sum(e.holds for e in group)), f"{largest:.2g}"))
        text += _section("Compared with the processor", COMPARED, rows)
        rows = [
            (f"{e.share:g}", e.model, f"{e.trials_an_hour:.0f}", _mib(e.memory_mib), _mib(e.context_mib), e.error)
            for e in self.throughput
        ]
        return text + _section("A GPU shared by 1 / share trials", SHARED, rows)

    def write(self, folder: Path) -> tuple[Path, Path]:
        """Write gpu_check.json and gpu_check.md, and return their paths."""
        folder.mkdir(parents=True, exist_ok=True)
        data, page = folder / "gpu_check.json", folder / "gpu_check.md"
        content = {
            "device": self.device,
            "date": date.today().isoformat(),
            "holds": self.holds,
            "comparisons": [{**asdict(e, dict_factory=_finite), "holds": e.holds} for e in self.comparisons],
            "throughput": [asdict(e, dict_factory=_finite) for e in self.throughput],
        }
        data.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")
        page.write_text(self.page)
        return data, page


def described(device: str) -> str:
    """The name of a device, with a GPU's memory and software."""
    if device != "cuda":
        return f"{device}; {machine()}"
    gpu = torch.cuda.get_device_properties(0)
    versions = f"CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"
    return f"{gpu.name}, {gpu.total_memory / 2**30:.0f} GiB, {versions}; {machine()}, {platform.system()}"


def _section(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return f"\n{title}:\n\n{table(head, rows)}\n" if rows else ""


def _mib(memory: float | None) -> str:
    return "" if memory is None else f"{memory:.0f}"


def _finite(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    """JSON has no NaN and no infinity: null."""
    return {name: None if isinstance(v, float) and not math.isfinite(v) else v for name, v in fields}
