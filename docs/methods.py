"""docs/methods.md, made from the methods' docstrings, attributes and measured costs.

`make docs` writes the page. `python -m docs.methods NAME …` prints the sections and departures of some methods, which
may be of other packages.
"""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import jinja2
import typer

from benchmarks.methods import SETTINGS
from docs.markdown import markdown, paragraphs, table
from search_spaces.strengths import PAPER_METHODS
from trainables import DATASETS, METHODS, MODELS
from trainables.core.departure import Departure
from trainables.datasets import PLACES
from trainables.datasets.dataset import Dataset
from trainables.methods import Method, costs
from trainables.methods.parts.layer_walk import TYPES

FOLDER = Path(__file__).parent
PAGE = FOLDER / "methods.md"


def describe(name: str) -> dict[str, Any]:
    """The page's content for a method, as Markdown; one of another package may lack docstrings and costs."""
    method = METHODS[name]
    module = inspect.getmodule(method)
    idea = markdown(method.idea or paragraphs(module.__doc__ if module else None)[0])
    options = method.Options.model_fields.items()
    settings = [f"- `{key}` (default {field.default}): {markdown(field.description or '')}" for key, field in options]
    parts = [f"### `{name}`", idea, *map(markdown, paragraphs(method.__doc__))]
    parts += ["Settings:", "\n".join(settings)] if settings else []
    parts += [] if method.reads_preset else ["The presets `fixed` and `paper` train alike."]
    needs = {
        "masks": method.reads_masks,
        "groups": method.needs_cues,
        "second derivatives": method.second_order,
        "rules for layers": method.walks_layers,
    }
    return {
        "name": name,
        "idea": idea.replace("|", r"\|"),
        "needs": [need for need, has in needs.items() if has],
        "costs": {model: _cost(name, model) for model in MODELS.builtin},
        "strengths": "{:g} to {:g}".format(*method.strengths) if method.strengths else "no penalty",
        "section": "\n\n".join(part for part in parts if part) + "\n",
    }


def departures(entries: Mapping[str, type[Method] | type[Dataset]]) -> str:
    """A table of how methods and datasets, by name, differ from their sources; an empty text if none does."""
    names: dict[Departure, list[str]] = {}
    for name, entry in entries.items():
        for departure in entry.departures:
            names.setdefault(departure, []).append(f"`{name}`")
    rows = [(", ".join(who), d.source, d.here, d.way_back) for d, who in names.items()]
    return table(("method or dataset", "the source", "here", "way back"), rows) if rows else ""


def page() -> str:
    """The whole page."""
    methods = [describe(name) for name in in_order()]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=jinja2.select_autoescape(),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["code"] = lambda word: f"`{word}`"
    return environment.get_template("methods.md.j2").render(
        methods=methods,
        departures=departures(
            {n: METHODS[n] for n in in_order()} | {n: DATASETS[n] for n in sorted(DATASETS.builtin)} | {**PLACES}
        ),
        models=sorted(MODELS.builtin, key=lambda model: (model != costs.STAND_IN, model)),
        measurements=[_measured(one) for one in costs.read()],
        not_at_default=[
            f"`{method}` on `{model}` with {', '.join(f'`{key}` {value:g}' for key, value in settings.items())}"
            for (method, model), settings in SETTINGS.items()
        ],
        by_need={need: [m["name"] for m in methods if need in m["needs"]] for need in ("groups", "rules for layers")},
        complete_at_end=[name for name in in_order() if METHODS[name].complete_at_end],
        layers=[kind.__name__ for kind in TYPES],
    )


def in_order() -> list[str]:
    """Names of the built-in methods: the paper's, then the others, those that see no masks last."""
    others = sorted(METHODS.builtin.keys() - set(PAPER_METHODS))
    return [*PAPER_METHODS, *sorted(others, key=lambda name: not METHODS[name].reads_masks)]


def _measured(one: costs.Measurement) -> dict[str, Any]:
    listed = ", ".join(f"`{name}`" for name in sorted(one.costs))
    return {**vars(one), "names": "all methods" if METHODS.builtin.keys() <= one.costs.keys() else listed}


def _cost(method: str, model: str) -> str:
    cost = costs.measured(method, model)
    return "not measured" if cost is None else cost if isinstance(cost, str) else f"{cost:g}"


def main(names: Annotated[list[str], typer.Argument(help="Methods.")]) -> None:
    """Print the sections and departures of some methods."""
    for name in names:
        if name not in METHODS:
            raise typer.BadParameter(f"unknown method {name!r}; choose from {', '.join(METHODS)}")
    rows = departures({name: METHODS[name] for name in names})
    print(*(describe(name)["section"] for name in names), sep="\n", end="")
    print(f"\n## Departures from the sources\n\n{rows}\n" if rows else "", end="")


if __name__ == "__main__":
    typer.run(main)
