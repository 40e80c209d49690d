"""The tables of a sweep's results beside the published ones."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from support.commands import PATIENCE, ROOT
from typer.testing import CliRunner

from analysis import AnalysisError, trials_from_table
from analysis.paper.__main__ import PUBLISHED, app, paper_tables

IOU = "test_ood.iou.integrated_gradients"


def table(dataset="synthetic", severity=1.0, **columns):
    """Two methods, three seeds, both presets with their selection rules."""
    rows = []
    for preset, selection in (("paper", "best_valid_ood"), ("fixed", "best_valid_id")):
        for method in ("baseline", "rrr"):
            for seed in range(3):
                row = {"dataset": dataset, "severity": severity, "method": method, "seed": seed, "data_seed": seed}
                row |= {"preset": preset, "selection": selection, "strength": float(method == "rrr"), "epochs": 30}
                row |= {"status": "completed", "model": "resnet18", "hp.batch_size": 16, "hp.lr": 1e-3}
                row |= {"test_ood.auc": 0.1 * seed + 0.3 * (preset == "fixed"), IOU: 0.2 + 0.1 * seed}
                rows.append(row)
    return pd.DataFrame(rows).assign(**columns)


def trials(frame):
    return trials_from_table(frame, sweep="s", source="s.parquet")


def cells(text):
    lines = [line for line in text.splitlines() if line.startswith("|") and "---" not in line]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_means_and_deviations_are_shown_beside_the_published_ones():
    head, *rows = cells(paper_tables(trials(table())))
    assert head == ["method", "source", "seeds", "OOD AUC", "IoU", "IoP", "IoT"]
    baseline = [row for row in rows if row[0] == "baseline"]
    assert [row[1] for row in baseline] == ["published", "paper best_valid_ood", "fixed best_valid_id"]
    sd = np.std([0.0, 0.1, 0.2], ddof=1)
    assert baseline[1][2:5] == ["3", f"0.10 ± {sd:.2f}", f"–, 0.30 ± {sd:.2f}, –"]
    assert baseline[2][3] == f"0.40 ± {sd:.2f}"
    assert baseline[0][3:5] == ["0.00 ± 0.00", "0.07 ± 0.08, 0.08 ± 0.12, 0.03 ± 0.04"]
    missing = [row for row in rows if row[0] == "GradMask" and row[1] != "published"]
    assert [row[2:4] for row in missing] == [["0", "–"]] * 2, "a method without trials is shown, not skipped"


def test_settings_that_all_trials_share_are_named():
    text = paper_tables(trials(table(**{"hp.n_test": 128})))
    assert "This sweep: model resnet18, epochs 30, batch size 16, n test 128." in text
    unknown = paper_tables(trials(table(model=None, **{"hp.n_test": float("nan")})))
    assert "This sweep: epochs 30, batch size 16." in unknown


def test_excluded_trials_are_counted():
    frame = table()
    frame.loc[0, "status"] = "diverged"
    text = paper_tables(trials(frame))
    assert "Left out: 1 diverged." in text
    assert [row[2] for row in cells(text) if row[:2] == ["baseline", "paper best_valid_ood"]] == ["2"]


@pytest.mark.parametrize("place", sorted(PUBLISHED))
def test_every_published_set_has_a_table(place):
    published = [row for row in cells(paper_tables(trials(table(*place)))) if row[1] == "published"]
    assert len(published) == 7
    for row in published:
        assert [cell.count("±") for cell in row[3:]] == ([1, 0, 0, 0] if row[0] == "shuffled" else [1, 3, 3, 3])


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (table("decoy_digits"), "published results for synthetic at severity 1; .*trials of decoy_digits"),
        (table(severity=0.5), "trials of synthetic at severity 0.5"),
        (
            table(**{"hp.lr": np.linspace(0, 1, 12)}),
            r"baseline on synthetic, paper best_valid_ood differ in hp.lr \(0.0",
        ),
    ],
)
def test_unsuitable_trials_are_refused(frame, message):
    with pytest.raises(AnalysisError, match=message):
        paper_tables(trials(frame))


@pytest.mark.slow
def test_the_command(tmp_path):
    table().to_parquet(tmp_path / "trials.parquet")
    command = [sys.executable, "-m", "analysis.paper", "--records", str(tmp_path / "trials.parquet")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == paper_tables(trials(table()))
    out = CliRunner().invoke(app, ["--records", str(tmp_path / "trials.parquet"), "--out", str(tmp_path / "t.md")])
    assert out.exit_code == 0
    assert (tmp_path / "t.md").read_text() == done.stdout
    taken = ["--records", str(tmp_path / "trials.parquet"), "--out", str(tmp_path / "trials.parquet" / "t.md")]
    for arguments in ([], taken, ["--records", "no.parquet"], ["--records", "a.csv", "--sweep", "s"]):
        refused = CliRunner().invoke(app, arguments)
        assert refused.exit_code == 2
        assert "Error: " in refused.stderr
