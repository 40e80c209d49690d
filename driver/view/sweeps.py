"""The sweeps of a storage, for people who look for one."""

from collections.abc import Mapping

from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from analysis.numbers import listed
from driver import user_errors
from driver.terminal import say
from driver.upkeep.lease import expired, read_lease
from records import Manifest, StorageError, SweepRecords, open_storage
from records.storage import File
from records.store import SWEEP_NAME


@user_errors(StorageError)
def show_sweeps(console: Console, storage: str) -> None:
    """Print a line for each sweep: its space, the trials done of those planned, the last record's date, its size.

    Raises:
        UserError: the storage cannot be read.
    """
    opened = open_storage(storage)
    by_sweep: dict[str, dict[str, File]] = {}
    for name, file in opened.files("").items():
        sweep, _, rest = name.partition("/")
        by_sweep.setdefault(sweep, {})[rest] = file
    like_sweeps = {name: files for name, files in by_sweep.items() if _is_sweep(files)}
    sweeps = {name: files for name, files in like_sweeps.items() if SWEEP_NAME.fullmatch(name)}
    if misnamed := [repr(name) for name in like_sweeps if name not in sweeps]:
        say(console, f"Left out, as no sweep can have the name: {listed(misnamed)}. Rename the folder to list it.")
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


def _is_sweep(files: Mapping[str, File]) -> bool:
    return any(name in ("sweep.json", "lease.json") or name.startswith("records/") for name in files)


def _row(records: SweepRecords, files: Mapping[str, File]) -> list[str]:
    try:
        manifest = records.manifest() or Manifest()
        notes = ["half deleted"] if manifest.deleted else []
    except ValueError:
        manifest, notes = Manifest(), ["sweep.json is broken"]
    lease = read_lease(records.storage.read(f"{records.name}/lease.json")) if "lease.json" in files else None
    if not expired(lease):
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
