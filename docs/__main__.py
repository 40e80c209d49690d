"""python -m docs: write what the pages say of the code where it is made from the code; `make docs` does."""

from pathlib import Path

from docs import listings, methods, readme, studies


def made() -> dict[Path, str]:
    """Every page that is made from the code, in whole or in part, with its text."""
    reference = {methods.FOLDER / "reference" / f"{name}.md": page() for name, page in listings.PAGES.items()}
    return {
        methods.PAGE: methods.page(),
        readme.README: studies.updated(readme.updated(readme.README.read_text(), methods.in_order())),
        **{page: studies.updated(page.read_text()) for page in studies.PAGES},
        **reference,
    }


if __name__ == "__main__":
    for path, text in made().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
