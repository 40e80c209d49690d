"""Files of a report: templates filled in, JSON without NaN, written as one folder."""

import json
import math
import re
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.errors import AnalysisError

if TYPE_CHECKING:
    import jinja2

TEMPLATES = Path(__file__).parent / "templates"


def version() -> str:
    """The program's name and version, so that a reader can reproduce the report."""
    try:
        return f"saliency-sweep {metadata.version('saliency-sweep')}"
    except metadata.PackageNotFoundError:
        return "saliency-sweep (from a source tree that is not installed)"


def render(template: str, context: Mapping[str, Any]) -> bytes:
    """Fill in a template of templates/; a name that the context lacks is an error."""
    return environment_for(template).get_template(template).render(**context).encode()


def environment_for(template: str) -> "jinja2.Environment":
    """jinja2's settings and filters for a template, which is escaped if it is one of HTML."""
    import jinja2
    from markupsafe import Markup, escape

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=template.endswith(".html.j2"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["pipe"] = lambda text: str(text).replace("|", r"\|").replace("\n", " ")
    link = r'<a href="https://arxiv.org/abs/\1">arXiv:\1</a>'
    environment.filters["arxiv"] = lambda text: Markup(  # noqa: S704  # escaped before the link is put in
        re.sub(r"arXiv:(\d+\.\d+)", link, str(escape(text)))
    )
    return environment


def json_bytes(content: Any) -> bytes:
    """The content as JSON."""
    return (json.dumps(strict(content), indent=1, allow_nan=False, ensure_ascii=False) + "\n").encode()


def strict(value: Any) -> Any:
    """The same with null for NaN and infinities, which JSON does not have."""
    if isinstance(value, dict):
        return {key: strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [strict(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_files(out_dir: Path, files: Mapping[str, bytes]) -> None:
    """Write files, named by their path in `out_dir`, which is made; files of the same name are replaced.

    Raises:
        AnalysisError: the folder cannot be written.
    """
    try:
        for path, data in files.items():
            (out_dir / path).parent.mkdir(parents=True, exist_ok=True)
            (out_dir / path).write_bytes(data)
        # A gallery of an older report would otherwise stand beside the new figures.
        for old in (out_dir / "figures").glob("gallery_*"):
            if f"figures/{old.name}" not in files:
                old.unlink()
    except OSError as error:
        raise AnalysisError(
            f"cannot write the report to {str(out_dir)!r}: {error.strerror or error}; give --out another folder"
        ) from error
