"""Rendering and writing a report's files."""

import json
import math
import re
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.errors import AnalysisError
from records.storage import FolderStorage, StorageError

if TYPE_CHECKING:
    import jinja2

TEMPLATES = Path(__file__).parent / "templates"


def version() -> str:
    """The program's name and version."""
    try:
        return f"saliency-sweep {metadata.version('saliency-sweep')}"
    except metadata.PackageNotFoundError:
        return "saliency-sweep (from a source tree that is not installed)"


def render(template: str, context: Mapping[str, Any]) -> bytes:
    """Fill in a template of templates/; an undefined name is an error."""
    return environment_for(template).get_template(template).render(**context).encode()


def environment_for(template: str) -> "jinja2.Environment":
    """jinja2's settings and filters for a template; values are escaped for HTML or Markdown."""
    import jinja2
    from markupsafe import Markup, escape

    def in_markdown(value: Any) -> Markup:
        # Macros return markup.
        return value if isinstance(value, Markup) else Markup(escape_markdown(str(value)))  # noqa: S704

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        finalize=in_markdown if template.endswith(".md.j2") else None,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    link = r'<a href="https://arxiv.org/abs/\1">arXiv:\1</a>'
    environment.filters["arxiv"] = lambda text: Markup(  # noqa: S704  # escaped before the link is put in
        re.sub(r"arXiv:(\d+\.\d+)", link, str(escape(text)))
    )
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "separators": (",", ":"), "allow_nan": False}
    # Scripts are not templates: their braces are JavaScript's.
    environment.globals["file"] = lambda name: Markup((TEMPLATES / name).read_text())  # noqa: S704
    return environment


MARKUP = re.compile(
    r"""
      [\\`*|$]              # escapes, code, emphasis, cells, formulas
    | (?<![^\W_])_|_(?![^\W_])  # emphasis; within a word, as in a column's name, an underscore is one
    | ~(?=~)                # deletion
    | <(?=[A-Za-z/!?])      # HTML and links
    | \](?=[(\[:])          # links
    | &(?=[#\w]+;)          # entities
    | ^(?:[#]{1,6}(?=\s|$)|[-+](?=\s|$)|>|={2,}|-{2,})  # headings, lists, quotations
    """,
    re.VERBOSE,
)


def escape_markdown(text: str) -> str:
    """The text on one line, with a backslash before markup of CommonMark and GitHub's tables, and nothing else."""
    line = re.sub(r"\s*[\r\n]\s*", " ", text).strip()
    return re.sub(r"^(\d+)([.)])(?=\s)", r"\1\\\2", MARKUP.sub(r"\\\g<0>", line))


def json_bytes(content: Any) -> bytes:
    """The content as JSON."""
    return (json.dumps(strict(content), indent=1, allow_nan=False, ensure_ascii=False) + "\n").encode()


def strict(value: Any) -> Any:
    """The value with null for NaN and infinities, which JSON does not have."""
    if isinstance(value, dict):
        return {key: strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [strict(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_files(out_dir: Path, files: Mapping[str, bytes]) -> None:
    """Write files into `out_dir` by their relative path, each whole or not at all, in order.

    The last file thus marks the folder as complete.

    Raises:
        AnalysisError: the folder cannot be written.
    """
    storage = FolderStorage(out_dir)
    try:
        for path, data in files.items():
            storage.write(path, data)
        # The gallery of an older report must not stay.
        for old in (out_dir / "figures").glob("gallery_*"):
            if f"figures/{old.name}" not in files:
                old.unlink()
    except (StorageError, OSError) as error:
        cause = error.__cause__ or error
        raise AnalysisError(
            f"cannot write the report to {str(out_dir)!r}: {getattr(cause, 'strerror', None) or error}; "
            "give --out another folder"
        ) from error
