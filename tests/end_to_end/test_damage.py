"""A sweep whose disk fills up, and one whose files were damaged."""

import json
import shutil
import subprocess

import pytest
from support.commands import TINY, run_sweep
from support.disks import fill

from records import columns

pytestmark = pytest.mark.slow


def results(folder):
    rows = [json.loads(path.read_text()) for path in folder.glob("*.json")]
    return {row["trial_key"]: {k: v for k, v in row.items() if not columns.is_run_specific(k)} for row in rows}


def test_a_full_disk_is_said_and_with_room_again_the_sweep_goes_on(small_disk, tmp_path, tiny_sweep):
    sweep = (*TINY, "--max-trials", "2", "--name", "full", "--storage", str(small_disk))
    ballast = fill(small_disk, but=60_000)
    ran = run_sweep(tmp_path, *sweep)
    assert ran.code == 1, ran
    assert "No space left on device; make room there, or give --storage a folder that has some" in ran.err
    assert "Traceback" not in ran.err + ran.out
    kept = results(small_disk / "full/records")
    assert len(kept) < 2
    ballast.unlink()
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    ran = run_sweep(tmp_path, *sweep)
    assert ran.code == 0, ran
    assert f"2 trials, {2 - len(kept)} to run" in ran.out
    found, expected = results(small_disk / "full/records"), results(tiny_sweep.records)
    assert len(found) == 2
    assert found.items() <= expected.items()
    assert [path for path in small_disk.rglob("*") if path.name.startswith(".")] == []


def test_damaged_files_are_set_aside_and_their_trials_run_again(tiny_sweep, tmp_path):
    shutil.copytree(tiny_sweep.folder, tmp_path, dirs_exist_ok=True)
    sweep = tmp_path / "sweeps/tiny"
    cut, lost, *_ = sorted((sweep / "records").iterdir())
    cut.write_bytes(cut.read_bytes()[:100])
    lost.unlink()
    (sweep / "records/notes.txt").write_text("mine")
    (sweep / "checkpoints").mkdir()
    (sweep / f"checkpoints/{lost.stem}.pt").write_bytes(b"PK no checkpoint")
    ran = run_sweep(tmp_path, *TINY, "--name", "tiny")
    assert ran.code == 0, ran
    assert "7 trials, 2 to run" in ran.out
    assert f"set aside tiny/set_aside/{cut.name}: not a JSON record (100 bytes): truncated or foreign" in ran.out
    assert "set aside tiny/set_aside/notes.txt" in ran.out
    assert {path.name for path in (sweep / "set_aside").iterdir()} == {cut.name, "notes.txt"}
    assert (sweep / "set_aside/notes.txt").read_text() == "mine"
    assert results(sweep / "records") == results(tiny_sweep.records)
    assert not list((sweep / "checkpoints").glob("*"))
