"""The result of the check, as Markdown for the terminal and an issue, and as JSON."""

import json
import math
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu_check.comparison import Comparison
from benchmarks.gpu_check.sharing import Throughput
from benchmarks.methods import machine
from docs.markdown import table


@dataclass(frozen=True)
class Result:
    """All comparisons and measurements on a device."""

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

    @property
    def page(self) -> str:
        """The failed comparisons, a row for each part, and the throughput."""
        parts: dict[str, list[Comparison]] = {}
        for each in self.comparisons:
            parts.setdefault(each.part, []).append(each)
        tables: dict[str, tuple[Sequence[str], list[Sequence[str]]]] = {
            "Differs": (
                ("part", "what", "difference", "tolerance", "error"),
                [(e.part, e.name, f"{e.difference:.2g}", f"{e.tolerance:g}", e.error) for e in self.failures],
            ),
            "Compared with the processor": (
                ("part", "compared", "hold", "largest difference"),
                [
                    (part, str(len(of_part)), str(sum(each.holds for each in of_part)), f"{_largest(of_part):.2g}")
                    for part, of_part in parts.items()
                ],
            ),
            "A GPU shared by 1 / share trials": (
                ("--gpus-per-trial", "model", "trials an hour", "MiB a trial", "MiB beside it", "error"),
                [
                    (
                        f"{e.share:g}",
                        e.model,
                        f"{e.trials_an_hour:.0f}",
                        _mib(e.memory_mib),
                        _mib(e.context_mib),
                        e.error,
                    )
                    for e in self.throughput
                ],
            ),
        }
        lines = [f"`make gpu-check`, {date.today().isoformat()}, {self.device}: **{self.sentence}**"]
        lines += [f"{title}:\n\n{table(head, rows)}" for title, (head, rows) in tables.items() if rows]
        return "\n\n".join(lines) + "\n"

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


def _largest(compared: Sequence[Comparison]) -> float:
    return max((each.difference for each in compared if math.isfinite(each.difference)), default=math.nan)


def _mib(memory: float | None) -> str:
    return "" if memory is None else f"{memory:.0f}"


def _finite(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    """JSON has no NaN and no infinity: null."""
    return {name: None if isinstance(v, float) and not math.isfinite(v) else v for name, v in fields}
