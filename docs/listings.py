"""The reference pages in docs/reference/ and the README's table of names, made from the code."""

import ast
import inspect
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from itertools import pairwise
from typing import Any, get_args

import typer
import typer.main
from pydantic.fields import FieldInfo
from typer import Typer
from typer.cli import get_docs_for_click

import sweep
from analysis import __main__ as analyse
from analysis.paper import __main__ as paper
from analysis.sections import SECTIONS
from analysis.sections.section import OTHER_WAYS, Section
from analysis.stats.replicated import Estimate
from docs.markdown import markdown, paragraphs, table
from records.columns import COLUMNS
from search_spaces import SPACES
from trainables import ATTRIBUTIONS, DATASETS, LOCALISATION, METHODS, MODELS, TrialConfig
from trainables.datasets import PLACES
from trainables.datasets import __main__ as datasets_command
from trainables.saliency.faithfulness import FAITHFULNESS
from trainables.saliency.localisation import TUNED

COMMANDS: Mapping[str, Typer] = {
    "python sweep.py": sweep.app,
    "python -m analysis": analyse.app,
    "python -m analysis.paper": paper.app,
    "python -m trainables.datasets": datasets_command.app,
}


# A page's title and opening are the docstring of the function that makes its sections.


def commands() -> Iterable[str]:
    """Commands

    What `--help` says. `--set` may be given again, with one setting each time.
    """
    for name, app in COMMANDS.items():
        command = typer.main.get_command(app)
        yield get_docs_for_click(obj=command, ctx=typer.Context(command), indent=1, name=name).rstrip()


def settings() -> Iterable[str]:
    """Settings

    `--set KEY=VALUE` sets one for all trials, a [space](../python.md#a-space-of-your-own) for each trial; of a
    trainable they are the keys of `param_space`. [Datasets](datasets.md) have further ones.
    """
    trial = {name: TrialConfig.model_fields[name] for name in sorted(TrialConfig.own_settings())}
    methods = {name: METHODS[name].Options.model_fields for name in sorted(METHODS.builtin)}
    yield f"## Of every trial\n\n{_options(trial)}"
    yield from (f"## Of the method `{name}`\n\n{_options(fields)}" for name, fields in methods.items() if fields)


def datasets() -> Iterable[str]:
    """Datasets in detail

    What the datasets have in common, and which to take: [Datasets](../datasets.md). [Images of your
    own](../own_data.md) are `folder` and `manifest`.
    """
    for name, dataset in {**{name: DATASETS[name] for name in DATASETS.builtin}, **PLACES}.items():
        yield f"## `{name}`\n\n{_described(dataset)}\n\n{_options(dataset.Options.model_fields)}"


def measures() -> Iterable[str]:
    """Attributions, metrics and models in detail

    Side by side, with ranges and costs: [Attributions and measures of maps](../measures.md).
    """
    localisation = dict(sorted({**LOCALISATION.builtin, **TUNED}.items()))
    listed: list[tuple[str, Mapping[str, Any]]] = [("Attributions", ATTRIBUTIONS.builtin)]
    listed += [("Localisation metrics", localisation), ("Faithfulness", FAITHFULNESS), ("Models", MODELS.builtin)]
    for kind, entries in listed:
        yield f"## {kind}"
        yield from (f"### `{name}`\n\n{_described(entry)}" for name, entry in entries.items())


def columns() -> Iterable[str]:
    """Columns of a record

    In the order of a record and of `trials.parquet`. A name in braces stands for a family of columns: `{split}` is
    train, valid_id, valid_ood, test_id or test_ood, and only the two test splits have maps; `{metric}`, `{measure}` and
    `{attribution}` are [names of measures](measures.md), `{name}` is one of the [settings](settings.md). A column is
    absent where a trial does not compute it, and null where its value is not defined.

    Roles: key identifies the trial; outcome says how it ended; configuration is a setting of the training, seed a seed
    of it or of the data; performance is an AUC, accuracy or loss on a split, probe an AUC on images with an altered
    outside, measure any other result. Time and provenance differ between two runs of one configuration; all else is
    equal bit for bit. Annotation is the rest.
    """
    rows = [(f"`{c.name}`", c.role, c.kind, markdown(c.label)) for c in COLUMNS]
    yield table(("column", "role", "kind", "in words"), rows)


def statistics() -> Iterable[str]:
    """Statistics beside the answer

    The report asks the [answer](../answer.md)'s question in other ways too; none of them decides. Each stands in
    `report.json` under its key, for the declared primary: the score is a localisation score, the outcome is performance
    under the shift. An axis is a setting that varies in the sweep, a configuration is a trial's settings without its
    seeds. Fields whose names say everything are not listed.
    """
    yield f"## What all have\n\n{_fields(Estimate)}"
    yield from (_statistic(section) for section in SECTIONS if section.part is OTHER_WAYS)


def page(sections: Callable[[], Iterable[str]]) -> str:
    """A page as Markdown."""
    note = "<!-- Generated by `make docs` from the code; edit docs/listings.py or the docstrings there. -->"
    title, *opening = paragraphs(sections.__doc__)
    return "\n\n".join([f"{note}\n# {title}", *(" ".join(text.split()) for text in opening), *sections()]) + "\n"


PAGES: Mapping[str, Callable[[], str]] = {
    sections.__name__: partial(page, sections)
    for sections in (commands, settings, datasets, measures, columns, statistics)
}
"""The pages by their names in docs/reference/."""


def names(methods: Iterable[str]) -> str:
    """The README's table of registered names, with the methods in the given order."""
    images = "[`folder:PATH`, `manifest:FILE.csv`](docs/own_data.md)"
    networks = "`timm:NAME`, `torchvision:NAME`, `module:function`"
    localisation = sorted({**LOCALISATION.builtin, **TUNED})
    sizes = {name: SPACES[name]() for name in SPACES}
    spaces = (f"`{k}` ({len(s.trials) * (s.search.trials if s.search else 1):,} trials)" for k, s in sizes.items())
    rows = [
        ("[methods](docs/methods.md)", _listed(methods), "`trainables/methods/`"),
        ("[models](docs/networks.md)", f"{_listed(MODELS.builtin)}, {networks}", "`trainables/models/`"),
        ("[datasets](docs/datasets.md)", f"{_listed(DATASETS.builtin)}, {images}", "`trainables/datasets/`"),
        ("[attributions](docs/measures.md)", _listed(ATTRIBUTIONS.builtin), "`trainables/saliency/attribution/`"),
        ("[localisation metrics](docs/measures.md)", _listed(localisation), "`trainables/saliency/localisation/`"),
        ("[faithfulness](docs/measures.md#faithfulness)", _listed(FAITHFULNESS), "`trainables/saliency/faithfulness/`"),
        ("spaces", ", ".join(spaces), "`search_spaces/`"),
    ]
    return table(("", "names", "in"), rows)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _statistic(section: Section[Any]) -> str:
    """A section's statistic, as the docstrings of its file explain it."""
    module = sys.modules[section.sentence.__module__]
    public = [o for name, o in vars(module).items() if inspect.getmodule(o) is module and not name.startswith("_")]
    texts = [*paragraphs(module.__doc__)]
    for one in filter(inspect.isfunction, public):
        if one is section.compute or "Returns:" in (one.__doc__ or ""):
            texts += [text.removeprefix("Returns:\n") for text in paragraphs(one.__doc__)]
    texts = [markdown(text) for text in texts if not text.startswith("Args:")]
    fields = filter(None, map(_fields, filter(inspect.isclass, public)))
    key = f"In `report.json` under `{section.key}`:"
    return "\n\n".join([f"## {markdown(section.title)}", *texts, key, *fields])


def _fields(described: Any) -> str:
    """A dataclass, and the fields it adds that have a docstring; an empty text if there are none."""
    body = next(node for node in ast.parse(inspect.getsource(described)).body if isinstance(node, ast.ClassDef)).body
    rows = [
        (f"`{ast.unparse(field.target)}`", markdown(" ".join(str(text.value.value).split())))
        for field, text in pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
    ]
    text = map(markdown, paragraphs(described.__doc__))
    return "\n\n".join([*text, table(("field", "meaning"), rows)]) if rows else ""


def _options(fields: Mapping[str, FieldInfo]) -> str:
    rows = [
        (f"`{name}`", markdown(field.description or ""), _values(field), f"`{_written(field.default)}`")
        for name, field in fields.items()
    ]
    return table(("setting", "meaning", "values", "default"), rows) if rows else "No settings of its own."


def _values(field: FieldInfo) -> str:
    """The values that a setting takes: its choices or its bounds."""
    parts = get_args(field.annotation)
    # Literal[1, 3] | None: the choices are in its first part.
    parts = next(filter(None, map(get_args, parts)), parts)
    choices = [value for value in parts if not isinstance(value, type) and value is not ...]
    if choices:
        return ", ".join(f"`{value}`" for value in choices)
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<", "multiple_of": "multiple of"}
    return ", ".join(
        f"{sign} {_written(getattr(bound, key)).removesuffix('.0')}"
        for bound in field.metadata
        for key, sign in signs.items()
        if getattr(bound, key, None) is not None
    )


def _written(default: object) -> str:
    """A default as `--set` takes it."""
    if isinstance(default, tuple):
        return ",".join(map(str, default))
    return json.dumps(default) if default is None or isinstance(default, bool) else str(default)


def _described(entry: Callable[..., Any]) -> str:
    return "\n\n".join(map(markdown, paragraphs(inspect.getdoc(entry))))
