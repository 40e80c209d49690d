"""python -m analysis: its sources, defaults, exit codes and messages."""

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from analysis.__main__ import app
from analysis.paper.__main__ import app as paper
from records import SweepRecords, open_storage


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments):
        is_report = max(map(arguments.count, ("--sweep", "--records"))) < 2
        return CliRunner().invoke(app, [*arguments, *(("--replicates", "100") if is_report else ())])

    return invoke


@pytest.fixture
def sweep(tmp_path, make_table):
    records = SweepRecords(open_storage(tmp_path / "sweeps"), "demo")
    for record in make_table(seeds=5).to_dict("records"):
        records.write({**record, "schema_version": 1})
    return records


def test_an_error_neither_commands_the_terminal_nor_shows_a_password(run):
    done = run("--records", "a\x1b[2J\udcff.csv")
    assert (done.exit_code, len(done.stderr.splitlines())) == (2, 1)
    assert "\x1b" not in done.stderr
    assert "SECRET" not in run("--sweep", "a", "--tracking-uri", "sqlite:///none.db?password=SECRET").stderr


@pytest.mark.slow
def test_a_sweep_in_the_default_storage(run, sweep, tmp_path):
    done = run("--sweep", "demo")
    assert done.exit_code == 0, done.output
    content = json.loads((tmp_path / "sweeps/demo/report/report.json").read_text())
    assert done.stdout.splitlines()[-1] == content["verdict"]["sentence"]
    assert f"Report: {tmp_path / 'sweeps/demo/report/report.html'}" in done.stdout


def test_the_environment_names_the_default_storage(run, sweep, tmp_path, monkeypatch):
    monkeypatch.setenv("SWEEP_STORAGE", str(tmp_path / "elsewhere"))
    done = run("--sweep", "demo")
    assert done.exit_code == 2
    assert done.stderr == (
        f"Error: no sweep 'demo' in {tmp_path / 'elsewhere'}: it holds no sweep at all; check --sweep and --storage\n"
    )
    assert CliRunner().invoke(paper, ["--sweep", "demo"]).stderr == done.stderr


@pytest.mark.slow
def test_storage_out_and_smallest_effect(run, sweep, tmp_path, no_figures):
    done = run("--sweep", "demo", "--storage", "sweeps", "--out", "here", "--smallest-effect", "0.9")
    assert done.exit_code == 0, done.output
    assert json.loads((tmp_path / "here/report.json").read_text())["settings"]["smallest_effect"] == 0.9
    assert not (tmp_path / "sweeps/demo/report").exists()


@pytest.mark.slow
def test_the_report_on_a_sweep_in_s3_is_copied_there(run, sweep, tmp_path, monkeypatch):
    # A folder that says it is a bucket: what S3 itself does is tested with the storage.
    bucket = open_storage(tmp_path / "sweeps")
    bucket.location = "s3://bucket/prefix"
    monkeypatch.setattr("analysis.trials.load.open_storage", lambda location: bucket)
    done = run("--sweep", "demo", "--storage", "s3://bucket/prefix")
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[:2] == ["Report: report/report.html", "Copied to s3://bucket/prefix/demo/report/"]
    here, there = tmp_path / "report", tmp_path / "sweeps/demo/report"
    assert {p.relative_to(here) for p in here.rglob("*")} == {p.relative_to(there) for p in there.rglob("*")}


def test_two_sweeps_are_compared(run, sweep, make_table, tmp_path):
    other = SweepRecords(open_storage(tmp_path / "sweeps"), "other")
    for record in make_table(seeds=7, rng=1).to_dict("records"):
        other.write({**record, "schema_version": 1})
    done = run("--sweep", "demo", "--sweep", "other")
    assert done.exit_code == 0, done.output
    content = json.loads((tmp_path / "comparison/report.json").read_text())
    assert done.stdout.splitlines() == ["Report: comparison/report.html", content["sentence"]]
    assert (content["first"]["n_trials"], content["second"]["n_trials"]) == (40, 56)
    assert content["overlap"]["n_both"] == 40


def test_two_tables_of_one_name_are_compared_by_their_folders(run, make_table, tmp_path):
    for name, rng in (("x", 0), ("y", 1)):
        (tmp_path / name).mkdir()
        make_table(seeds=8, rng=rng).to_parquet(tmp_path / name / "trials.parquet", index=False)
    done = run("--records", "x/trials.parquet", "--records", "y/trials.parquet", "--out", "here")
    assert done.exit_code == 0, done.output
    assert "in x/trials and " in done.stdout
    assert "in y/trials (" in done.stdout
    assert (tmp_path / "here/report.html").is_file()
    done = run("--records", "x/trials.parquet", "--records", "x/trials.parquet")
    assert "in x/trials (first) and " in done.stdout


@pytest.mark.parametrize(
    ("arguments", "pieces"),
    [
        ([], ["nothing to analyse", "--sweep NAME", "--records FILE", "--tracking-uri URI"]),
        (["--records", "no.csv"], ["'no.csv'", "no such file"]),
        (["--records", "x.csv", "--sweep", "s"], ["--records cannot be combined with", "--sweep"]),
        (["--sweep", "s", "--storage", "x", "--tracking-uri", "sqlite:///y"], ["--storage and --tracking-uri"]),
        (["--sweep", "nope"], ["no sweep 'nope'", "--storage"]),
        (["--sweep", "s", "--tracking-uri", "sqlite:///none.db"], ["sqlite:///none.db", "no such database"]),
        (["--sweep", "s", "--tracking-uri", "sqlite:///half.db"], ["sqlite:///half.db", "database is half made"]),
        (["--sweep", "demo", "--smallest-effect", "2"], ["smallest effect 2", "0.3"]),
        (["--sweep", "demo", "--sweep", "demo", "--smallest-effect", "2"], ["smallest effect 2", "0.3"]),
        (["--sweep", "a", "--sweep", "b", "--sweep", "c"], ["--sweep was given 3 times", "twice to compare"]),
        (["--sweep", "demo", "--sweep", "nope"], ["no sweep 'nope'"]),
        (
            ["--sweep", "demo", "--sweep", "b", "--replicates", "100"],
            ["--replicates sets the bootstrap of one report", "leave it out"],
        ),
        (["--sweep", "demo", "--out", "s3://bucket/x"], ["bad --out 's3://bucket/x'", "folder of this machine"]),
    ],
)
def test_bad_arguments_are_one_clear_line(run, sweep, tmp_path, arguments, pieces):
    (tmp_path / "half.db").touch()
    done = run(*arguments)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1
    for piece in pieces:
        assert piece in done.stderr
    assert not (tmp_path / "none.db").exists()


def test_an_interrupt_is_one_line_and_code_130(run, sweep, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("analysis.analyse", interrupted)
    done = run("--sweep", "demo")
    assert (done.exit_code, done.stdout, done.stderr) == (130, "", "\nInterrupted.\n")


@pytest.mark.slow
def test_neither_torch_nor_ray_is_loaded_and_importing_is_light(make_table, tmp_path):
    make_table(seeds=5).to_csv(tmp_path / "mine.csv", index=False)
    program = f"""
import sys
import analysis
light = {{"torch", "ray", "mlflow", "matplotlib", "jinja2", "trainables"}}
assert not light & set(sys.modules), light & set(sys.modules)
trials = analysis.load_file({str(tmp_path / "mine.csv")!r})
analysis.write_report(analysis.analyse(trials, replicates=100), {str(tmp_path / "out")!r})
heavy = {{"torch", "ray", "mlflow", "trainables", "matplotlib.pyplot"}}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out/report.html").is_file()
