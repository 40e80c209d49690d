"""The sweeps of a storage."""

from collections.abc import Mapping

from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from analysis.numbers import listed
from driver import user_errors
from driver.terminal import say
from driver.upkeep.lease import read_lease
from records import Manifest, StorageError, SweepRecords, open_storage
from records.storage import File
from records.store import SWEEP_NAME


@user_errors(StorageError)
def show_sweeps(console: Console, storage: str) -> None:
    """Print each sweep's space, number of done and planned trials, last record's date and size."""
    opened = open_storage(storage)
    by_folder: dict[str, dict[str, File]] = {}
    for name, file in opened.files("").items():
        folder, _, rest = name.partition("/")
        by_folder.setdefault(folder, {})[rest] = file
    parts = {"sweep.json", "lease.json", "records"}
    like_sweeps = {f: files for f, files in by_folder.items() if parts & {name.split("/")[0] for name in files}}
    if misnamed := [repr(name) for name in like_sweeps if not SWEEP_NAME.fullmatch(name)]:
        say(console, f"Left out, as no sweep can have the name: {listed(misnamed)}. Rename the folder to list it.")
    sweeps = {name: files for name, files in like_sweeps.items() if SWEEP_NAME.fullmatch(name)}
    if not sweeps:
        say(console, f"No sweeps in {opened.location}.")
        return
    say(console, "Sweeps in ", place=opened.location)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="")
    table.add_column("name", overflow="fold")
    for heading in ("space", "trials", "last record", "size", ""):
        table.add_column(heading, no_wrap=True, justify="right" if heading in ("trials", "size") else "left")
    for name, files in sweeps.items():
        table.add_row(*_row(SweepRecords(opened, name), files))
    console.print(table)


def _row(records: SweepRecords, files: Mapping[str, File]) -> list[str]:
    try:
        manifest = records.manifest() or Manifest()
        notes = ["half deleted"] if manifest.deleted else []
    except ValueError:
        manifest, notes = Manifest(), ["sweep.json is broken"]
    if "lease.json" in files and (lease := read_lease(records)) is not None and not lease.expired:
        notes.insert(0, "running")
    done = [file.modified for name, file in files.items() if name.startswith("records/") and name.endswith(".json")]
    return [
        records.name,
        manifest.space or "–",
        f"{len(done)} of {manifest.planned_trials or '?'}",
        f"{max(done).astimezone():%Y-%m-%d %H:%M}" if done else "–",
        decimal(sum(file.size for file in files.values())),
        ", ".join(notes),
    ]
