"""The launcher files by Ray's own checks and by botocore's model of EC2, without any cloud."""

import re
from pathlib import Path

import botocore.session
import pytest
import yaml
from botocore.validate import ParamValidator
from ray.autoscaler._private.util import prepare_config, validate_config
from support.commands import ROOT

CLUSTER = ROOT / "cluster"
FILES = sorted(path.name for path in CLUSTER.glob("*.yaml"))
AWS = [name for name in FILES if name != "onprem.yaml"]


def load(name: str) -> dict:
    return yaml.safe_load((CLUSTER / name).read_text())


def prepared(name: str) -> dict:
    config = prepare_config(load(name))
    validate_config(config)
    return config


def test_there_are_three():
    assert FILES == ["cpu.yaml", "gpu.yaml", "onprem.yaml"]


@pytest.mark.parametrize("name", FILES)
def test_ray_accepts_it(name):
    assert prepared(name)["cluster_name"] == f"sweep-{name.removesuffix('.yaml')}"


@pytest.mark.parametrize("mistake", ["head_node_typ: head", "max_workers: many", "available_node_types: {head: {}}"])
def test_ray_refuses_mistakes(mistake):
    config = load("gpu.yaml") | yaml.safe_load(mistake)
    with pytest.raises(Exception, match=r"(?s).*"):
        validate_config(prepare_config(config))


def instance_request() -> object:
    return botocore.session.get_session().get_service_model("ec2").operation_model("RunInstances").input_shape


def problems(node_config: dict) -> list[str]:
    """What EC2's model of RunInstances says against a node_config: unknown names, wrong types, unknown values."""
    shape = instance_request()
    # Ray adds the counts.
    report = ParamValidator().validate({"MinCount": 1, "MaxCount": 1, **node_config}, shape)
    return [*report.generate_report().splitlines(), *unknown_values(node_config, shape)]


def unknown_values(value, shape) -> list[str]:
    """Values that are in no enumeration of the model, which botocore's validator does not look at."""
    if shape.type_name == "structure":
        inside = [(v, shape.members[k]) for k, v in value.items() if k in shape.members]
    elif shape.type_name == "list":
        inside = [(v, shape.member) for v in value]
    else:
        inside = []
        enum = getattr(shape, "enum", None)
        if enum and value not in enum:
            return [f"{value!r} is no {shape.name}"]
    return [problem for v, s in inside for problem in unknown_values(v, s)]


@pytest.mark.slow
@pytest.mark.parametrize("name", AWS)
def test_ec2_knows_every_field_and_value(name):
    for kind, node in load(name)["available_node_types"].items():
        assert problems(node["node_config"]) == [], f"{name}: {kind}"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"InstanceType": "g5.xlrage"}, "'g5.xlrage' is no InstanceType"),
        ({"InstanceMarketOption": {}}, 'Unknown parameter in input: "InstanceMarketOption"'),
        ({"InstanceMarketOptions": {"MarketType": "sport"}}, "'sport' is no MarketType"),
        ({"MetadataOptions": {"HttpTokens": True}}, "Invalid type for parameter MetadataOptions.HttpTokens"),
    ],
)
def test_that_check_finds_mistakes(change, message):
    node_config = load("gpu.yaml")["available_node_types"]["gpu_spot"]["node_config"]
    assert any(message in problem for problem in problems(node_config | change))


@pytest.mark.parametrize("name", AWS)
def test_money_is_spent_on_trials_alone(name):
    config = prepared(name)
    types = config["available_node_types"]
    head = types.pop(config["head_node_type"])
    assert head["resources"]["CPU"] == 0, "no trial lands on the head"
    assert "--num-cpus=0" in config["head_start_ray_commands"][-1]
    assert "InstanceMarketOptions" not in head["node_config"], "a head that is taken away takes the driver with it"
    spot = [t for t in types.values() if t["node_config"].get("InstanceMarketOptions", {}).get("MarketType") == "spot"]
    demand = [t for t in types.values() if "InstanceMarketOptions" not in t["node_config"]]
    assert len(spot) == len(demand) == 1
    assert spot[0]["priority"] > demand[0]["priority"]
    assert all(t["min_workers"] == 0 for t in types.values()), "nothing runs while there is nothing to do"
    assert config["idle_timeout_minutes"] <= 15
    assert config["provider"]["cache_stopped_nodes"] is False


@pytest.mark.parametrize("name", AWS)
def test_safe_defaults(name):
    config = prepared(name)
    for node in config["available_node_types"].values():
        assert node["node_config"]["MetadataOptions"]["HttpTokens"] == "required"
        assert all(disk["Ebs"]["Encrypted"] for disk in node["node_config"]["BlockDeviceMappings"])
    tag = re.fullmatch(r"rayproject/ray:(2\.\d+\.\d+)-py311-[cg]pu", config["docker"]["image"])
    assert tag
    assert f"ray=={tag[1]}" in (ROOT / "constraints.txt").read_text().splitlines()
    assert "use_podman" not in config["docker"], "`ray submit` would run on the host"


@pytest.mark.parametrize("name", FILES)
def test_the_script_and_the_project_arrive(name):
    config = load(name)
    assert config["file_mounts"]["~/project"] == ".", "sweep.py looks for its packages there"
    for remote, local in config["file_mounts"].items():
        assert not "~/sweep.py".startswith(remote), f"{remote} would keep the script out of the container"
        assert (ROOT / local).is_dir()
    # ~ is the first entry of the script's path: a folder there must not shadow a module.
    assert not {Path(remote).name for remote in config["file_mounts"]} & {"driver", "records", "analysis"}
    assert not any("nightly" in command for command in prepared(name)["setup_commands"])
    commands = config["setup_commands"]
    (project,) = (i for i, command in enumerate(commands) if command.endswith("--editable ~/project"))
    assert "--constraint ~/project/constraints.txt" in commands[project]
    assert commands[project + 1].startswith("test ! -f ~/environment/requirements.txt || ")
    assert commands[project + 1].endswith("install --quiet --requirement ~/environment/requirements.txt")


@pytest.mark.parametrize("name", FILES)
def test_the_dashboard_listens_on_the_head_alone(name):
    assert "--dashboard-host=127.0.0.1" in load(name)["head_start_ray_commands"][-1]


@pytest.mark.parametrize("name", FILES)
def test_no_job_is_shut_down_from_here(name):
    assert "shutdown" not in (CLUSTER / name).read_text()


def test_the_environment_of_the_nodes_is_ignored_by_git_but_not_by_its_mount():
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert {"/cluster/environment/sweep.env", "/cluster/environment/requirements.txt"} <= set(ignored)
    assert not (CLUSTER / "environment" / ".gitignore").exists(), "rsync would leave sweep.env out"
    example = (CLUSTER / "environment" / "sweep.env.example").read_text()
    given = dict(re.findall(r"^#?([A-Z_]+)=(.*)$", example, re.MULTILINE))
    for secret in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_PASSWORD"):
        assert given[secret] == ""
