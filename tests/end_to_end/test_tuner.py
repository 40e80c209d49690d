"""Methods as Tune trainables of their own, without sweep.py."""

import json

import pytest
from rich.console import Console
from typer.testing import CliRunner

from analysis import __main__ as analysis_command
from analysis import load_file
from driver.ray.start import start_local
from trainables import resolve, settings_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ray_here():
    import ray

    start_local(2, 0, Console())
    yield
    ray.shutdown()


def fit(trainable, space, folder, samples=1, **config):
    from ray import tune

    tuner = tune.Tuner(
        trainable,
        param_space=space,
        tune_config=tune.TuneConfig(num_samples=samples, **config),
        run_config=tune.RunConfig(storage_path=str(folder), verbose=0),
    )
    return tuner.fit()


def test_the_example_of_the_package(ray_here, tmp_path):
    from ray import tune

    import trainables

    space = {"strength": tune.loguniform(1e-3, 10), "severity": tune.grid_search([0, 0.5, 1])}
    space["seed"] = tune.randint(0, 100)
    # The rest only makes it fast.
    space |= {"n_train": 64, "n_valid": 32, "n_test": 64, "epochs": 2, "attribution_images": 4}
    results = fit(trainables.ActDiff, space, tmp_path, metric="valid_id.auc", mode="max")
    assert len(results) == 3
    assert not results.errors
    assert sorted(r.metrics["severity"] for r in results) == [0, 0.5, 1]
    for result in results:
        assert result.metrics["method"] == "actdiff"
        assert result.metrics["status"] == "completed"
        assert result.metrics["training_iteration"] == 2
        assert 0 <= result.metrics["test_ood.auc"] <= 1
    assert results.get_best_result().metrics["valid_id.auc"] == max(r.metrics["valid_id.auc"] for r in results)
    # README and docs/python.md go on from here to a report.
    results.get_dataframe().to_csv(tmp_path / "trials.csv")
    command = ["--records", str(tmp_path / "trials.csv"), "--out", str(tmp_path / "report")]
    ran = CliRunner().invoke(analysis_command.app, command)
    assert ran.exit_code == 0, ran.output
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["n_trials"] == 3
    read = load_file(tmp_path / "trials.csv").table.set_index("trial_key")
    for result in results:
        row = read.loc[result.metrics["trial_key"]]
        assert row["test_ood.auc"] == pytest.approx(result.metrics["test_ood.auc"], abs=1e-12)
        assert resolve(settings_of(row)).trial_key == row.name


def test_a_trainable_of_one_method_refuses_another(ray_here):
    import trainables
    from trainables import ConfigurationError

    with pytest.raises(ConfigurationError, match=r"ActDiff trains method 'actdiff', not 'rrr'; use TrialTrainable"):
        trainables.ActDiff({"method": "rrr"})
