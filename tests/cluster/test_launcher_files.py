"""The launcher files, checked by Ray and by botocore's model of EC2, without a cloud."""

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


@pytest.mark.parametrize("name", FILES)
def test_ray_accepts_the_file(name):
    assert prepared(name)["cluster_name"] == f"sweep-{name.removesuffix('.yaml')}"


def unknown_values(value, shape) -> list[str]:
    """Values outside the enumerations of the model, which botocore's validator does not check."""
    if shape.type_name == "structure":
        return [p for k, v in value.items() if k in shape.members for p in unknown_values(v, shape.members[k])]
    if shape.type_name == "list":
        return [p for v in value for p in unknown_values(v, shape.member)]
    enum = getattr(shape, "enum", None)
    return [f"{value!r} is no {shape.name}"] if enum and value not in enum else []


@pytest.mark.slow
@pytest.mark.parametrize("name", AWS)
def test_ec2_accepts_every_field_and_value(name):
    shape = botocore.session.get_session().get_service_model("ec2").operation_model("RunInstances").input_shape
    for kind, node in load(name)["available_node_types"].items():
        # Ray adds the counts.
        report = ParamValidator().validate({"MinCount": 1, "MaxCount": 1, **node["node_config"]}, shape)
        problems = [*report.generate_report().splitlines(), *unknown_values(node["node_config"], shape)]
        assert problems == [], f"{name}: {kind}"


@pytest.mark.parametrize("name", AWS)
def test_idle_nodes_cost_nothing(name):
    config = prepared(name)
    types = config["available_node_types"]
    head = types.pop(config["head_node_type"])
    assert head["resources"]["CPU"] == 0, "no trial lands on the head"
    assert "--num-cpus=0" in config["head_start_ray_commands"][-1]
    assert "InstanceMarketOptions" not in head["node_config"], "a head that is taken away takes the driver with it"
    assert all(t["min_workers"] == 0 for t in types.values()), "nothing runs while there is nothing to do"
    assert config["idle_timeout_minutes"] <= 15
    assert config["provider"]["cache_stopped_nodes"] is False


IMAGE = r"resolve:ssm:/aws/service/deeplearning/ami/x86_64/base-[a-z-]+-gpu-ubuntu-\d\d\.04/latest/ami-id"


@pytest.mark.parametrize("name", AWS)
def test_every_node_names_its_image_and_role(name):
    """Without an image Ray uses a default; without a role on the head it creates one with wide rights."""
    config = load(name)
    types = config["available_node_types"]
    assert all(re.fullmatch(IMAGE, node["node_config"]["ImageId"]) for node in types.values())
    assert config["auth"]["ssh_user"] == "ubuntu"
    assert config["initialization_commands"] == ["sudo usermod --append --groups docker ubuntu"]
    roles = {kind: node["node_config"]["IamInstanceProfile"]["Name"] for kind, node in types.items()}
    assert roles.pop("head") == "saliency-sweep-head"
    assert set(roles.values()) == {"saliency-sweep-worker"}


def test_roles_have_minimal_rights():
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
    # The calls of Ray's AWS node provider without cache_stopped_nodes, and those that RunInstances needs.
    asked = {"ec2:RunInstances", "ec2:DescribeInstances", "ec2:CreateTags", "ec2:TerminateInstances"}
    assert allowed == asked | {"ssm:GetParameters", "iam:PassRole", "iam:CreateServiceLinkedRole"}
    for statement in statements:
        if set(np.atleast_1d(statement["Action"])) & {"ec2:CreateTags", "ec2:TerminateInstances"}:
            assert "Condition" in statement, "only for its own nodes"


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
def test_script_and_project_are_installed(name):
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
    """Run the setup commands that install nothing as Ray does on a node, then print the variables of a login shell."""
    commands = [command for command in load(name)["setup_commands"] if "pip" not in command and "venv" not in command]
    variables = "$RAY_AUTH_MODE $RAY_AUTH_TOKEN_PATH $SWEEP_STORAGE $SWEEP_GPUS_PER_TRIAL"
    commands = [*commands, *commands, f"bash --login -c -i '. ~/.bashrc; echo {variables}'"]
    script = " && ".join(f"({command})" for command in commands)
    environment = {"HOME": str(home), "PATH": os.environ["PATH"]}
    return subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("name", FILES)
def test_the_token_is_in_every_shell_and_readable_only_by_its_user(name, tmp_path):
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


def test_git_ignores_the_environment_of_the_nodes():
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    for secret in ("auth_token", "sweep.env", "requirements.txt"):
        assert f"/cluster/environment/{secret}" in ignored
    assert not (CLUSTER / "environment" / ".gitignore").exists(), "rsync would leave sweep.env out"
    example = (CLUSTER / "environment" / "sweep.env.example").read_text()
    given = dict(re.findall(r"^#?([A-Z_]+)=(.*)$", example, re.MULTILINE))
    for secret in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_PASSWORD"):
        assert given[secret] == ""
