"""The end of a sweep: when the report is written, the error if it cannot be, and what MLflow gets without one."""

from types import SimpleNamespace

import pytest
from rich.console import Console

import analysis
from driver import StoppedError
from driver.plan.make_plan import make_plan
from driver.upkeep import finish as finish_module
from driver.upkeep import summary
from driver.upkeep.finish import finish
from records import StorageError, SweepRecords, columns, open_storage
from records.folder_storage import FolderStorage
from records.mirror import Experiment

EXPERIMENT = Experiment("sqlite:///x", "1", "2")


@pytest.fixture
def records(tmp_path):
    return SweepRecords(open_storage(tmp_path), "done")


@pytest.fixture
def plan():
    return make_plan("smoke", None, {}, 2)


@pytest.fixture
def written(monkeypatch):
    """The folders that get a report of an invented analysis."""
    folders = []
    verdict = SimpleNamespace(answer="no", sentence="No.")
    monkeypatch.setattr(finish_module, "trials_of_sweep", lambda *_: None)
    for name in ("correlated", "methods_summary", "more"):
        monkeypatch.setattr(summary, name, lambda *_: None)
    for name in ("answers", "numbers"):
        monkeypatch.setattr(summary, name, lambda *_: {})
    monkeypatch.setattr(analysis, "analyse", lambda trials: SimpleNamespace(verdict=verdict))
    monkeypatch.setattr(analysis, "write_report", lambda result, folder: folders.append(folder))
    monkeypatch.setattr(finish_module, "copy_report", lambda *_: None)
    return folders


def end(records, plan, changed=True, experiment=None):
    loaded = records.load()
    return finish(records, plan, loaded=loaded, experiment=experiment, changed=changed, console=Console(quiet=True))


@pytest.mark.parametrize("local", [True, False])
def test_an_existing_report_is_kept_unless_something_changed(local, written, records, plan, monkeypatch):
    if not local:
        bucket = type("Bucket", (), {})
        monkeypatch.setattr(finish_module, "FolderStorage", bucket)
    for page, changed in (False, False), (True, False), (True, True):
        if page:
            records.storage.write("done/report/report.html", b"")
        end(records, plan, changed)
    assert len(written) == 2


def test_a_report_that_cannot_be_written_is_an_error(written, records, plan, monkeypatch):
    records.storage.write("done/report/figures", b"in the way")

    def write_report(result, folder):
        with pytest.raises(StorageError) as caught:
            FolderStorage(folder).write("figures/one.png", b"")
        raise analysis.AnalysisError("cannot write the report; give --out another folder") from caught.value

    monkeypatch.setattr(analysis, "write_report", write_report)
    with pytest.raises(
        StoppedError, match=r"^cannot write .*one\.png: File exists\. The records are kept; repeat the command"
    ):
        end(records, plan)


def test_a_sweep_of_failed_trials_has_no_answer(records, plan, monkeypatch):
    mirrored = []
    monkeypatch.setattr(
        finish_module, "mirror_sweep", lambda *positional, **named: mirrored.append((*positional, named))
    )
    failed = {"status": "failed", "error": "ValueError: no", "schema_version": columns.SCHEMA_VERSION}
    for config in plan.trials.values():
        records.write({**config.columns(), **failed})
    for changed in (True, False):
        outcome = end(records, plan, changed, EXPERIMENT)
    assert outcome.answer.startswith("No answer: ")
    ((experiment, _, folder, facts),) = mirrored
    assert (experiment, folder, facts["tags"]["answer"], facts["done"]) == (EXPERIMENT, None, "none", True)
    assert facts["tags"][finish_module.NOTE] == outcome.answer
