"""Compare a GPU with the processor, and measure how trials share it; `make gpu-check` runs it.

Exit codes: 0 everything holds; 1 something differs or fails; 2 there is no GPU, or an argument is wrong.
"""

import math
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.progress import track

from analysis.report.render import json_bytes
from benchmarks.timing import machine
from docs.markdown import table
from support.gpu_check.comparison import Check, Comparison, checks
from support.gpu_check.sharing import CUDA, SHARES, Throughput, compare_shares, measure
from trainables import MODELS
from trainables.core.process import use_gpu, use_one_thread

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
        """The failed comparisons, a row for each part, and the throughput, as Markdown."""
        failures, total = [each for each in self.comparisons if not each.holds], len(self.comparisons)
        sentence = f"all {total} comparisons hold"
        if failures:
            sentence = f"{len(failures)} of {total} comparisons differ by more than their tolerance"
        differs = [(e.part, e.name, f"{e.difference:.2g}", f"{e.tolerance:g}", e.error) for e in failures]
        compared = []
        for part in sorted({each.part for each in self.comparisons}):
            group = [each for each in self.comparisons if each.part == part]
            largest = max((e.difference for e in group if math.isfinite(e.difference)), default=math.nan)
            compared.append((part, str(len(group)), str(sum(e.holds for e in group)), f"{largest:.2g}"))
        shared = []
        for e in self.throughput:
            mib = ("" if memory is None else f"{memory:.0f}" for memory in (e.memory_mib, e.context_mib))
            shared.append((f"{e.share:g}", e.model, f"{e.trials_an_hour:.0f}", *mib, e.error))
        text = f"`make gpu-check`, {date.today().isoformat()}, {self.device}: **{sentence}**\n"
        text += _section("Differs", DIFFERS, differs)
        text += _section("Compared with the processor", COMPARED, compared)
        return text + _section("A GPU shared by 1 / share trials", SHARED, shared)

    def write(self, folder: Path) -> tuple[Path, Path]:
        """Write gpu_check.json and gpu_check.md, and return their paths."""
        folder.mkdir(parents=True, exist_ok=True)
        data, page = folder / "gpu_check.json", folder / "gpu_check.md"
        content = {
            "device": self.device,
            "date": date.today().isoformat(),
            "holds": self.holds,
            "comparisons": [{**asdict(e), "holds": e.holds} for e in self.comparisons],
            "throughput": [asdict(e) for e in self.throughput],
        }
        data.write_bytes(json_bytes(content))
        page.write_text(self.page)
        return data, page


def _section(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return f"\n{title}:\n\n{table(head, rows)}\n" if rows else ""


def described(device: str) -> str:
    """The name of a device, with a GPU's memory and software."""
    if device != CUDA:
        return f"{device}; {machine()}"
    gpu = torch.cuda.get_device_properties(0)
    versions = f"CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"
    return f"{gpu.name}, {gpu.total_memory / 2**30:.0f} GiB, {versions}; {machine()}, {platform.system()}"


def main(
    only: Annotated[str, typer.Option(help="Checks whose part or name contains this text, e.g. rrr or maps.")] = "",
    out: Annotated[Path, typer.Option(help="Folder of gpu_check.json and gpu_check.md.")] = Path(),
    device: Annotated[str, typer.Option(help="Another torch device, to check the check.")] = CUDA,
    speed: Annotated[bool, typer.Option(help="Also measure trials an hour.")] = True,
) -> None:
    """Check every method, attribution and measure on a GPU, two runs of each trial, shared memory and speed."""
    console = Console()
    if device == CUDA:
        if not torch.cuda.is_available():
            build = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built without CUDA"
            message = f"No GPU: torch {torch.__version__}, {build}, can use none on this machine, so nothing was "
            message += "checked. If the machine has one, check the output of nvidia-smi and CUDA_VISIBLE_DEVICES."
            Console(stderr=True).print(message, soft_wrap=True, markup=False)
            raise typer.Exit(2)
        # This process runs one trial at a time; the measurements of sharing start other processes.
        use_gpu(1.0)
    use_one_thread()
    every = [*checks(), *([Check("memory", "a share of 0.25", compare_shares)] if device == CUDA else [])]
    chosen = [check for check in every if only in check.part or only in check.name]
    if not chosen:
        raise typer.BadParameter(f"no check has {only!r} in its part or name")
    shared = [(share, model) for model in (MODELS.builtin if speed else ()) for share in SHARES]
    comparisons = [each for check in track(chosen, "checks", console=console) for each in check.run(device)]
    throughput = [measure(share, model, device) for share, model in track(shared, "trials an hour", console=console)]
    result = Result(described(device), comparisons, throughput)
    for text in (result.page, *(f"Written: {path}" for path in result.write(out))):
        console.print(text, soft_wrap=True, markup=False, highlight=False)
    if not result.holds:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
