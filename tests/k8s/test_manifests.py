"""Every rendered manifest: Kubernetes' own schemas, references, images, security, sizes, probes."""

import copy
import re
import subprocess
import sys

import kubernetes_validate
import pytest
import yaml
from support.commands import ROOT
from support.manifests import K8S, OVERLAYS, all_templates, containers, manifests, one, render

VERSION = "1.34"
CUSTOM = {"RayJob"}


def names(overlay, kind):
    return {m["metadata"]["name"] for m in manifests(overlay) if m["kind"] == kind}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kubernetes_knows_every_field(overlay):
    checked = [m for m in manifests(overlay) if m["kind"] not in CUSTOM]
    assert {m["kind"] for m in manifests(overlay)} - {m["kind"] for m in checked} == CUSTOM
    for manifest in checked:
        kubernetes_validate.validate(manifest, VERSION, strict=True)
    for name, template in all_templates(overlay).items():
        wrapped = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "checked"}, "template": template}
        kubernetes_validate.validate(wrapped, VERSION, strict=True), name


@pytest.mark.parametrize(
    "path", ["spec/containers/0/resorces", "spec/terminationGracePeriod", "spec/volumes/0/configmap"]
)
def test_that_check_finds_a_wrong_field(path):
    template = copy.deepcopy(all_templates("gpu")["sweep/gpu-spot"])
    *folders, last = path.split("/")
    place = template
    for name in folders:
        place = place[int(name)] if isinstance(place, list) else place[name]
    place[last] = {}
    wrapped = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "checked"}, "template": template}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrapped, VERSION, strict=True)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_all_live_in_the_namespace(overlay):
    for manifest in manifests(overlay):
        if manifest["kind"] != "Namespace":
            assert manifest["metadata"]["namespace"] == "saliency-sweep", manifest["metadata"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_pods_refer_to_is_there(overlay):
    there = {
        ("configMap", name): m["data"]
        for name in names(overlay, "ConfigMap")
        for m in [one(overlay, "ConfigMap", name)]
    } | {("secret", name): one(overlay, "Secret", name)["data"] for name in names(overlay, "Secret")}
    used = set()
    for name, template in all_templates(overlay).items():
        volumes = {v["name"]: v for v in template["spec"].get("volumes", [])}
        claims = {"data"} if name.startswith("StatefulSet") else set()
        for volume in volumes.values():
            if "configMap" in volume:
                used.add(("configMap", volume["configMap"]["name"]))
        for container in containers(template):
            for source in container.get("envFrom", []):
                ((kind, reference),) = source.items()
                used.add((kind.removesuffix("Ref"), reference["name"]))
            for variable in container.get("env", []):
                for kind, reference in variable.get("valueFrom", {}).items():
                    source = (kind.removesuffix("KeyRef"), reference["name"])
                    used.add(source)
                    assert reference["key"] in there[source], f"{name}: {reference}"
            for mount in container.get("volumeMounts", []):
                assert mount["name"] in volumes.keys() | claims, f"{name}: {mount}"
                script = re.search(r"/scripts/(\S+)", " ".join(container.get("command", [])))
                assert not script or script[1] in there["configMap", "scripts"]
    assert used == set(there), "all are used, and none is missing"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_images_have_a_fixed_version(overlay):
    for name, template in all_templates(overlay).items():
        for container in containers(template):
            assert re.fullmatch(r"[a-z0-9./-]+:v?\d+\.\d+[a-z0-9.-]*", container["image"]), (
                f"{name}: {container['image']}"
            )


def test_mlflow_is_the_version_that_is_tested():
    from importlib.metadata import version

    tags = {c["image"] for c in containers(all_templates("cpu")["Deployment/mlflow"])}
    assert tags == {f"ghcr.io/mlflow/mlflow:v{version('mlflow')}-full"}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_pods_may_do_nothing_that_they_need_not(overlay):
    """Kubernetes' `restricted` standard, which the namespace enforces, and read-only roots."""
    labels = one(overlay, "Namespace", "saliency-sweep")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    for name, template in all_templates(overlay).items():
        pod = template["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["runAsUser"] > 0, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not any(key in pod for key in ("hostNetwork", "hostPID", "hostIPC")), name
        # The autoscaler beside the head asks the Kubernetes API for workers.
        assert name == "sweep/head" or pod["automountServiceAccountToken"] is False, name
        allowed = {"name", "configMap", "emptyDir", "secret", "persistentVolumeClaim"}
        assert all(volume.keys() <= allowed for volume in pod.get("volumes", [])), name
        for container in containers(template):
            assert_restricted(container["securityContext"], f"{name}: {container['name']}")
    cluster = one(overlay, "RayJob", "sweep")["spec"]["rayClusterSpec"]
    if cluster["enableInTreeAutoscaling"]:
        assert_restricted(cluster["autoscalerOptions"]["securityContext"], "autoscaler")


def assert_restricted(context, name):
    assert context["allowPrivilegeEscalation"] is False, name
    assert context["readOnlyRootFilesystem"] is True, name
    assert context["capabilities"] == {"drop": ["ALL"]}, name
    assert "privileged" not in context, name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_sizes_are_stated(overlay):
    for name, template in all_templates(overlay).items():
        for container in containers(template):
            resources, where = container["resources"], f"{name}: {container['name']}"
            assert "cpu" in resources["requests"], where
            assert resources["requests"]["memory"] == resources["limits"]["memory"], f"{where}: killed as others grow"
        for volume in template["spec"].get("volumes", []):
            assert "emptyDir" not in volume or "sizeLimit" in volume["emptyDir"], f"{name}: {volume}"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_services_are_probed_and_kept(overlay):
    for name in ("StatefulSet/postgres", "StatefulSet/s3", "Deployment/mlflow"):
        (container,) = all_templates(overlay)[name]["spec"]["containers"]
        assert {"startupProbe", "readinessProbe", "livenessProbe"} <= container.keys(), name
    for name in ("postgres", "s3"):
        claims = one(overlay, "StatefulSet", name)["spec"]["volumeClaimTemplates"]
        assert [claim["metadata"]["name"] for claim in claims] == ["data"]
    assert one(overlay, "Deployment", "mlflow")["spec"]["strategy"] == {"type": "Recreate"}
    # Ray's pods are probed by the operator, with wget.
    assert re.search(r"install .*\bwget\b", (K8S / "Dockerfile").read_text())


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_selectors_find_their_pods(overlay):
    pods = [{**t["metadata"]["labels"], "ray.io/node-type": n.split("/")[1]} for n, t in all_templates(overlay).items()]
    for manifest in manifests(overlay):
        if manifest["kind"] == "Service":
            selector = manifest["spec"]["selector"]
        elif manifest["kind"] == "PodDisruptionBudget":
            selector = manifest["spec"]["selector"]["matchLabels"]
        else:
            continue
        assert sum(selector.items() <= pod.items() for pod in pods) == 1, manifest["metadata"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_secrets_are_placeholders_that_are_refused(overlay):
    """The scripts of the init containers, run with the placeholders: each secret is refused by who uses it."""
    import base64

    refused = set()
    for template in all_templates(overlay).values():
        for container in containers(template):
            if container["name"] == "check-secrets":
                refused |= set(container["command"][2:])
    refused = {name.replace("MLFLOW_AUTH_ADMIN_PASSWORD", "MLFLOW_TRACKING_PASSWORD") for name in refused}
    for name in names(overlay, "Secret"):
        for key, value in one(overlay, "Secret", name)["data"].items():
            text = base64.b64decode(value).decode()
            assert (text == "change-me") == (key in refused), f"{key} of {name}"


@pytest.mark.parametrize(
    ("variables", "code"),
    [({"A": "x", "B": "y"}, 0), ({"A": "x", "B": "change-me"}, 1), ({"A": "", "B": "y"}, 1), ({"A": "x"}, 1)],
)
def test_the_check_of_secrets(variables, code):
    script = K8S / "base" / "scripts" / "check_secrets.sh"
    environment = {"PATH": "/usr/bin:/bin", **variables}
    done = subprocess.run(["sh", str(script), "A", "B"], env=environment, capture_output=True, text=True)
    assert done.returncode == code, done
    if code:
        assert re.match(r"[AB] is (change-me|empty): give it a value", done.stderr)


@pytest.mark.parametrize(("exit_code", "result"), [(0, 0), (1, 1), (2, 1), (10, 0), (130, 1), (137, 1)])
def test_only_a_sweep_that_is_not_done_is_tried_again(exit_code, result, tmp_path):
    stand_in = tmp_path / "python"
    stand_in.write_text(f'#!/bin/sh\necho "$@"\nexit {exit_code}\n')
    stand_in.chmod(0o755)
    script = K8S / "base" / "scripts" / "run_sweep.sh"
    done = subprocess.run(
        ["sh", str(script), "--name", "two words"],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == result
    assert done.stdout == "/app/sweep.py --name two words\n"


def test_an_overlay_of_ones_own_as_the_readme_says(tmp_path):
    """The README's overlay with its own secrets and image, beside ours, with metrics."""
    readme = (K8S / "README.md").read_text()
    (example,) = re.findall(r"```yaml\n(apiVersion: kustomize.*?)```", readme, re.DOTALL)
    own = yaml.safe_load(example)
    mine = K8S / "overlays" / own["resources"][0].removeprefix("../")
    assert mine.is_dir()
    import shutil

    shutil.copytree(K8S, tmp_path / "k8s")
    folder = tmp_path / "k8s" / "overlays" / "mine"
    folder.mkdir()
    (folder / "kustomization.yaml").write_text(example)
    for generator in own["secretGenerator"]:
        for file in generator["envs"]:
            placeholders = (K8S / "base" / "secrets" / file).read_text()
            (folder / file).write_text(placeholders.replace("change-me", "0123abcd"))
    rendered = render(folder)
    assert "Y2hhbmdlLW1l" not in rendered, "no placeholder is left"
    assert "kind: PodMonitor" in rendered
    assert "grafana_dashboard.json" in rendered
    images = {c["image"] for m in yaml.safe_load_all(rendered) for c in _images(m)}
    assert own["images"][0]["newName"] + ":" + own["images"][0]["newTag"] in images
    assert not any(image.startswith("saliency-sweep:") for image in images)


def _images(manifest):
    from support.manifests import pod_templates

    return [c for _, template in pod_templates(manifest) for c in containers(template)]


def test_the_image_has_all_that_is_imported():
    """Every package of the project is copied into the image and not kept out of the build."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = [name.rstrip("*") for name in project["tool"]["setuptools"]["packages"]["find"]["include"]]
    dockerfile, ignored = (K8S / "Dockerfile").read_text(), (ROOT / ".dockerignore").read_text().splitlines()
    for name in packages:
        assert f"COPY {name} {name}\n" in dockerfile
        assert f"!{name}" in ignored
    for line in re.findall(r"^COPY (.+) \S+$", dockerfile, re.MULTILINE):
        for source in line.split():
            assert (ROOT / source).exists()
            assert f"!{source}" in ignored
    users = re.findall(r"^USER (.+)$", dockerfile, re.MULTILINE)
    assert users[-1] == "10001:10001"
    assert "latest" not in dockerfile
    assert sys.version_info[:2] == tuple(map(int, re.search(r"PYTHON_VERSION=(\d+)\.(\d+)", dockerfile).groups()))
