"""python -m trainables.datasets check NAME: what a dataset holds, and whether it can be used."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from trainables.core.config import parse_settings
from trainables.core.errors import ConfigurationError
from trainables.datasets.dataset import load
from trainables.datasets.find import find_dataset
from trainables.datasets.report import describe, sample_panel
from trainables.trial.resolve import resolve

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
BAD_USE = 2


@app.callback()
def datasets() -> None:
    """Look at datasets before compute is spent on them."""


@app.command()
def check(
    name: Annotated[str, typer.Argument(help="A dataset: a name, folder:PATH or manifest:FILE.csv.")],
    root: Annotated[str | None, typer.Option(help="Where the files of a registered dataset lie.")] = None,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", help="A setting of the dataset, KEY=VALUE.", metavar="KEY=VALUE")
    ] = None,
    severity: Annotated[float, typer.Option(help="Shift severity in [0, 1].")] = 1.0,
    data_seed: Annotated[int, typer.Option(help="Seeds the data.")] = 0,
    out: Annotated[Path, typer.Option(help="Where a picture of some images goes.")] = Path("dataset.png"),
) -> None:
    """Read everything, say what was found, and write a picture of some training images with their masks.

    Exit codes: 0 the dataset can be used; 2 it cannot, with file and row.
    """
    try:
        settings = parse_settings(assignments or [])
        if root is not None:
            settings["root"] = root
        config = resolve({"dataset": name, "severity": severity, "data_seed": data_seed, **settings})
        recipe = find_dataset(config.dataset)
        options = recipe.Options(**config.dataset_options)
        dataset = recipe(options, config.severity, config.data_seed)
        dataset.check()
        splits = load(recipe, options, config.severity, config.data_seed)
    except ConfigurationError as error:
        print(f"{name}: {error}", file=sys.stderr)
        raise typer.Exit(BAD_USE) from None
    for line in describe(dataset, splits):
        print(line)
    try:
        out.write_bytes(sample_panel(dataset, splits["train"], f"{name}: training images at severity {severity:g}"))
    except OSError as error:
        print(f"cannot write {out}: {error.strerror}; give --out FILE.png", file=sys.stderr)
        raise typer.Exit(BAD_USE) from None
    print(f"Some training images: {out}")


if __name__ == "__main__":
    app()
