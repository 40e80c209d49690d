"""The launcher files by Ray's own checks and by botocore's model of EC2, without any cloud."""

import os
import re
import subprocess
from pathlib import Path

import botocore.session
import numpy as np
import pytest
import yaml
from botocore.validate import ParamValidator
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig
from ray.autoscaler.v2.scheduler import ResourceDemandScheduler, SchedulingRequest
from ray.autoscaler.v2.utils import ResourceRequestUtil
from ray.core.generated.autoscaler_pb2 import GangResourceRequest
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
    assert all(t["min_workers"] == 0 for t in types.values()), "nothing runs while there is nothing to do"
    assert config["idle_timeout_minutes"] <= 15
    assert config["provider"]["cache_stopped_nodes"] is False


def launched(name: str, trials: int) -> dict[str, int]:
    """The workers that Ray's autoscaler starts beside the head for so many waiting trials, by their type."""
    config = AutoscalingConfig(prepared(name) | {"auth": {}}, skip_content_hash=True)
    share = float(
        dict(re.findall(r"(SWEEP_GPUS_PER_TRIAL)=([\d.]+)", (CLUSTER / name).read_text())).get(
            "SWEEP_GPUS_PER_TRIAL", 0
        )
    )
    bundle = ResourceRequestUtil.make({"CPU": 1.0} | ({"GPU": share} if share else {}))
    # Tune reserves a placement group for each trial.
    waiting = [GangResourceRequest(requests=[bundle]) for _ in range(trials)]
    request = SchedulingRequest(
        disable_launch_config_check=True,
        node_type_configs=config.get_node_type_configs(),
        max_num_nodes=config.get_max_num_worker_nodes() + 1,
        gang_resource_requests=waiting,
    )
    reply = ResourceDemandScheduler().schedule(request)
    assert not reply.to_terminate
    counts = {launch.instance_type: launch.count for launch in reply.to_launch}
    return {kind: count for kind, count in counts.items() if kind != "head"}


@pytest.mark.parametrize(
    ("name", "trials", "workers"),
    [
        ("gpu.yaml", 1, {"gpu_demand": 1}),
        ("gpu.yaml", 4, {"gpu_demand": 1}),
        ("gpu.yaml", 10, {"gpu_demand": 1, "gpu_spot": 2}),
        ("gpu.yaml", 100, {"gpu_demand": 1, "gpu_spot": 7}),
        ("cpu.yaml", 17, {"cpu_demand": 1, "cpu_spot": 1}),
        ("cpu.yaml", 1000, {"cpu_demand": 1, "cpu_spot": 9}),
    ],
)
def test_one_worker_on_demand_and_the_others_spot(name, trials, workers):
    """By Ray's own scheduler: four trials share a GPU and its four processors, sixteen a machine without one."""
    types = load(name)["available_node_types"]
    spot = {kind for kind, node in types.items() if "InstanceMarketOptions" in node["node_config"]}
    assert spot == {f"{name.removesuffix('.yaml')}_spot"}
    assert launched(name, trials) == workers


IMAGE = r"resolve:ssm:/aws/service/deeplearning/ami/x86_64/base-[a-z-]+-gpu-ubuntu-\d\d\.04/latest/ami-id"


@pytest.mark.parametrize("name", AWS)
def test_every_node_names_its_image_and_role(name):
    """Without an image Ray falls back to one of its own; without a role on the head it makes one with wide rights."""
    config = load(name)
    types = config["available_node_types"]
    assert all(re.fullmatch(IMAGE, node["node_config"]["ImageId"]) for node in types.values())
    assert config["auth"]["ssh_user"] == "ubuntu"
    assert config["initialization_commands"] == ["sudo usermod --append --groups docker ubuntu"]
    roles = {kind: node["node_config"]["IamInstanceProfile"]["Name"] for kind, node in types.items()}
    assert roles.pop("head") == "saliency-sweep-head"
    assert set(roles.values()) == {"saliency-sweep-worker"}


def test_the_roles_may_do_what_nodes_do_and_no_more():
    resources = yaml.safe_load((CLUSTER / "aws" / "roles.yaml").read_text())["Resources"]
    for kind in ("Head", "Worker"):
        name = f"saliency-sweep-{kind.lower()}"
        profile, role = resources[f"{kind}Profile"]["Properties"], resources[f"{kind}Role"]["Properties"]
        assert (profile["InstanceProfileName"], profile["Roles"]) == (name, [{"Ref": f"{kind}Role"}])
        assert role["RoleName"] == name
        assert role["ManagedPolicyArns"] == [{"Ref": "BucketAccess"}]
    assert "Policies" not in resources["WorkerRole"]["Properties"]
    (policy,) = resources["HeadRole"]["Properties"]["Policies"]
    statements = policy["PolicyDocument"]["Statement"]
    allowed = {action for statement in statements for action in np.atleast_1d(statement["Action"])}
    # Of ray/autoscaler/_private/aws/node_provider.py with cache_stopped_nodes off, and what RunInstances asks for.
    asked = {"ec2:RunInstances", "ec2:DescribeInstances", "ec2:CreateTags", "ec2:TerminateInstances"}
    assert allowed == asked | {"ssm:GetParameters", "iam:PassRole", "iam:CreateServiceLinkedRole"}
    for statement in statements:
        if set(np.atleast_1d(statement["Action"])) & {"ec2:CreateTags", "ec2:TerminateInstances"}:
            assert "Condition" in statement, "of its own nodes alone"
    names = [load(name)["cluster_name"] for name in AWS]
    assert all(name.startswith("sweep-") for name in names), "the role's condition on the tag ray-cluster-name"


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


def set_up(name: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Run the setup commands that install nothing as Ray does on a node, then say what a login shell has."""
    commands = [command for command in load(name)["setup_commands"] if "pip" not in command and "venv" not in command]
    said = "echo $RAY_AUTH_MODE $RAY_AUTH_TOKEN_PATH $SWEEP_STORAGE $SWEEP_GPUS_PER_TRIAL"
    script = " && ".join(
        f"({command})" for command in (*commands, *commands, f"bash --login -c -i '. ~/.bashrc; {said}'")
    )
    environment = {"HOME": str(home), "PATH": os.environ["PATH"]}
    return subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("name", FILES)
def test_the_token_is_in_every_shell_of_a_node_and_for_its_user_alone(name, tmp_path):
    environment = tmp_path / "environment"
    environment.mkdir()
    (environment / "sweep.env").write_text("SWEEP_STORAGE=s3://bucket/sweeps\n")
    missing = set_up(name, tmp_path)
    assert missing.returncode == 1
    assert "cluster/environment/auth_token is missing: make it as cluster/README.md says" in missing.stderr
    token = environment / "auth_token"
    token.write_text("secret\n")
    token.chmod(0o644)
    done = set_up(name, tmp_path)
    share = ["0.25"] if name == "gpu.yaml" else []
    assert done.stdout.split() == ["token", str(token), "s3://bucket/sweeps", *share], done.stderr
    assert token.stat().st_mode & 0o777 == 0o600
    assert environment.stat().st_mode & 0o077 == 0
    shell = (tmp_path / ".bashrc").read_text().splitlines()
    assert len(shell) == len(set(shell)), "repeated commands add nothing"


@pytest.mark.parametrize("name", FILES)
def test_the_dashboard_listens_on_the_head_alone(name):
    assert "--dashboard-host=127.0.0.1" in load(name)["head_start_ray_commands"][-1]


@pytest.mark.parametrize("name", FILES)
def test_no_job_is_shut_down_from_here(name):
    assert "shutdown" not in (CLUSTER / name).read_text()


def test_the_environment_of_the_nodes_is_ignored_by_git_but_not_by_its_mount():
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    for secret in ("auth_token", "sweep.env", "requirements.txt"):
        assert f"/cluster/environment/{secret}" in ignored
    assert not (CLUSTER / "environment" / ".gitignore").exists(), "rsync would leave sweep.env out"
    example = (CLUSTER / "environment" / "sweep.env.example").read_text()
    given = dict(re.findall(r"^#?([A-Z_]+)=(.*)$", example, re.MULTILINE))
    for secret in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_PASSWORD"):
        assert given[secret] == ""
