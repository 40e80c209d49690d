"""An MLflow that is brought up to date while trials run: which of the finished ones it gets."""

import pytest
from rich.console import Console

from driver.upkeep import late_mirror
from driver.upkeep.late_mirror import LateMirror
from records import SweepRecords, columns, open_storage
from records.mirror import Experiment, MirrorError, RefusedError


@pytest.mark.parametrize(("error", "mirrored"), [(RefusedError, ["b", "c"]), (MirrorError, [])])
def test_a_refused_record_is_passed_over_and_an_absent_server_asked_again(error, mirrored, tmp_path, monkeypatch):
    records, got = SweepRecords(open_storage(tmp_path), "late"), []
    for key in ("a", "b", "c"):
        records.write({"trial_key": key, "schema_version": columns.SCHEMA_VERSION})

    def mirror_trial(experiment, records, record, weights):
        if record["trial_key"] == "a":
            raise error
        got.append(record["trial_key"])

    monkeypatch.setattr(late_mirror, "mirror_trial", mirror_trial)
    experiment = Experiment("sqlite:///x", "1", "2")
    late = LateMirror(experiment, lambda: None, records, ["a", "b", "c"], Console(quiet=True))
    if mirrored:
        late._mirror(experiment)
    else:
        with pytest.raises(MirrorError):
            late._mirror(experiment)
    assert got == mirrored
