"""Compare a GPU with the processor, and measure how trials share it; `make gpu-check` runs it.

Exit codes: 0 everything holds; 1 something differs or fails; 2 there is no GPU, or an argument is wrong.
"""

from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.progress import track

from benchmarks.gpu_check.comparison import Check, checks
from benchmarks.gpu_check.page import Result, described
from benchmarks.gpu_check.sharing import CUDA, SHARES, compare_shares, measure
from trainables import MODELS
from trainables.core.process import use_gpu, use_one_thread


def main(
    only: Annotated[str, typer.Option(help="Checks whose part or name contains this text, e.g. rrr or maps.")] = "",
    out: Annotated[Path, typer.Option(help="Folder of gpu_check.json and gpu_check.md.")] = Path(),
    device: Annotated[str, typer.Option(help="Another torch device, to check the check.")] = CUDA,
    speed: Annotated[bool, typer.Option(help="Also measure trials an hour.")] = True,
) -> None:
    """Check every method, attribution and measure on a GPU, two runs of each trial, shared memory and speed."""
    console = Console()
    if device == CUDA:
        check_gpu()
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


def check_gpu() -> None:
    """End the command with code 2 unless torch can use a GPU."""
    if torch.cuda.is_available():
        return
    build = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built without CUDA"
    Console(stderr=True).print(
        f"No GPU: torch {torch.__version__}, {build}, can use none on this machine, so nothing was checked. "
        "If the machine has one, check the output of nvidia-smi and the variable CUDA_VISIBLE_DEVICES.",
        soft_wrap=True,
        markup=False,
    )
    raise typer.Exit(2)


if __name__ == "__main__":
    typer.run(main)
