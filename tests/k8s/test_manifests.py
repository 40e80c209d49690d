"""Every rendered manifest: Kubernetes' own schemas, references, images, security, sizes, probes."""

import json
import re
import shutil
import tomllib

import kubernetes_validate
import pytest
import yaml
from support.commands import ROOT
from support.manifests import (
    K8S,
    KUBECTL,
    OVERLAYS,
    all_templates,
    constrained,
    containers,
    gibibytes,
    kustomization,
    manifests,
    one,
    pod_templates,
    render,
    run_with,
    secrets,
    services_with_backup,
)
from support.operator_rules import violations

VERSION = "1.34"
CUSTOM = {"RayJob"}
ADMISSION = "ValidatingAdmissionPolicy"
SERVICES = ("StatefulSet/postgres", "StatefulSet/s3", "Deployment/mlflow")
PAGES = "".join((K8S / page).read_text() for page in ("README.md", "OPERATIONS.md"))
EXAMPLES = dict(re.findall(r"```yaml\n# k8s/(\S+)/kustomization.yaml\n(.*?)```", PAGES, re.DOTALL))
"""The folders of users on the pages."""


def each_container(overlay):
    """(description, pod template, container) of every container."""
    for name, template in all_templates(overlay).items():
        for container in containers(template):
            yield f"{name}: {container['name']}", template, container


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_schemas(overlay):
    checked = [m for m in manifests(overlay) if m["kind"] not in CUSTOM]
    assert {m["kind"] for m in manifests(overlay)} - {m["kind"] for m in checked} == CUSTOM
    for manifest in checked:
        kubernetes_validate.validate(manifest, VERSION, strict=True)
    for name, template in all_templates(overlay).items():
        wrapped = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "checked"}, "template": template}
        kubernetes_validate.validate(wrapped, VERSION, strict=True), name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_objects_are_in_the_namespace(overlay):
    for manifest in manifests(overlay):
        if not manifest["kind"].startswith(("Namespace", "PriorityClass", "ValidatingAdmissionPolicy")):
            assert manifest["metadata"]["namespace"] == "saliency-sweep", manifest["metadata"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_references_of_pods_exist(overlay):
    there = {("secret", name): data for name, data in secrets().items()}
    there |= {("configMap", m["metadata"]["name"]): m["data"] for m in manifests(overlay) if m["kind"] == "ConfigMap"}
    # Made by the user: OPERATIONS.md.
    there["secret", "backup"] = {}
    used = set()
    for where, template, container in each_container(overlay):
        volumes = {v["name"]: v for v in template["spec"].get("volumes", [])}
        mounted = {v["configMap"]["name"] for v in volumes.values() if "configMap" in v}
        used |= {("configMap", name) for name in mounted}
        used |= {("secret", v["secret"]["secretName"]) for v in volumes.values() if "secret" in v}
        for source in container.get("envFrom", []):
            used |= {(kind.removesuffix("Ref"), source[kind]["name"]) for kind in source.keys() - {"prefix"}}
        for variable in container.get("env", []):
            for kind, reference in variable.get("valueFrom", {}).items():
                if kind != "fieldRef":
                    source = (kind.removesuffix("KeyRef"), reference["name"])
                    used.add(source)
                    assert reference["key"] in there[source] or reference.get("optional"), f"{where}: {reference}"
        claims = {"data"} if where.startswith("StatefulSet") else set()
        assert {mount["name"] for mount in container.get("volumeMounts", [])} <= volumes.keys() | claims, where
        script = re.search(r"/scripts/(\S+)", " ".join(container.get("command", [])))
        assert not script or any(script[1] in there["configMap", name] for name in mounted), where
    assert used == set(there), "all are used, and none is missing"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_images_have_a_fixed_version(overlay):
    for where, _, container in each_container(overlay):
        assert re.fullmatch(r"[a-z0-9./-]+:v?\d+\.\d+[a-z0-9.-]*", container["image"]), where


def test_mlflow_has_the_tested_version():
    tags = {c["image"] for c in containers(all_templates("cpu")["Deployment/mlflow"])}
    assert tags == {f"ghcr.io/mlflow/mlflow:v{constrained('mlflow')}-full"}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_pods_are_restricted(overlay):
    """Kubernetes' `restricted` standard, which the namespace enforces, and read-only roots."""
    labels = one(overlay, "Namespace", "saliency-sweep")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    for name, template in all_templates(overlay).items():
        pod = template["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["runAsUser"] > 0, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not pod.keys() & {"hostNetwork", "hostPID", "hostIPC"}, name
        # The autoscaler beside the head asks the Kubernetes API for workers.
        assert name == "sweep/head" or pod["automountServiceAccountToken"] is False, name
        allowed = {"name", "configMap", "emptyDir", "secret", "persistentVolumeClaim"}
        assert all(volume.keys() <= allowed for volume in pod.get("volumes", [])), name
    contexts = {where: container["securityContext"] for where, _, container in each_container(overlay)}
    cluster = one(overlay, "RayJob", "sweep")["spec"]["rayClusterSpec"]
    if cluster["enableInTreeAutoscaling"]:
        contexts["autoscaler"] = cluster["autoscalerOptions"]["securityContext"]
    expected = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    for where, context in contexts.items():
        assert context == context | expected, where
        assert "privileged" not in context, where


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_containers_declare_their_resources(overlay):
    for where, template, container in each_container(overlay):
        requests, limits = container["resources"]["requests"], container["resources"]["limits"]
        assert {"cpu", "memory"} <= requests.keys(), where
        assert "memory" in limits, where
        if template["metadata"]["labels"]["saliency-sweep/role"] == "ray":
            assert requests["memory"] == limits["memory"], f"{where}: killed as others grow"
        sizes = {v["name"]: v["emptyDir"]["sizeLimit"] for v in template["spec"].get("volumes", []) if "emptyDir" in v}
        if "shm" in sizes:  # Ray's objects take 30 % of the memory, or the disk if /dev/shm is smaller.
            assert gibibytes(sizes["shm"]) >= 0.3 * gibibytes(limits["memory"]), where


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_services_have_probes_and_volumes(overlay):
    for name in SERVICES:
        (container,) = all_templates(overlay)[name]["spec"]["containers"]
        assert {"startupProbe", "readinessProbe", "livenessProbe"} <= container.keys(), name
    for name in ("postgres", "s3"):
        claims = one(overlay, "StatefulSet", name)["spec"]["volumeClaimTemplates"]
        assert [claim["metadata"]["name"] for claim in claims] == ["data"]
        # Else each mount opens all files to the group, and PostgreSQL does not start again.
        pod = all_templates(overlay)[f"StatefulSet/{name}"]["spec"]
        assert pod["securityContext"]["fsGroupChangePolicy"] == "OnRootMismatch", name
    assert one(overlay, "Deployment", "mlflow")["spec"]["strategy"] == {"type": "Recreate"}
    # Ray's pods are probed by the operator, with wget.
    assert re.search(r"install .*\bwget\b", (K8S / "Dockerfile").read_text())


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_selectors_match_their_pods(overlay):
    pods = [{**t["metadata"]["labels"], "ray.io/node-type": n.split("/")[1]} for n, t in all_templates(overlay).items()]
    for service in (m for m in manifests(overlay) if m["kind"] == "Service"):
        selector = service["spec"]["selector"].items()
        assert sum(selector <= pod.items() for pod in pods) == 1, service["metadata"]


@pytest.mark.parametrize(
    ("codes", "result"),
    [([0], 0), ([10], 0), ([2], 2), ([1, 0], 0), ([137, 1, 10], 0), ([130, 2], 2), ([1, 1, 1, 1], 1)],
)
def test_retries_by_exit_code(codes, result, tmp_path):
    """`sweep.py` ends with each of the codes in turn; the pauses are left out."""
    (tmp_path / "codes").write_text("".join(f"{code}\n" for code in codes))
    python = f'echo "$@"; code=$(head -n 1 {tmp_path}/codes); sed -i 1d {tmp_path}/codes; exit "$code"'
    command = ("sh", str(K8S / "run_sweep.sh"), "--name", "two words")
    done = run_with(tmp_path, {"python": python, "sleep": ""}, *command)
    assert done.returncode == result, done.stderr
    assert done.stdout == f"{K8S}/../sweep.py --name two words\n" * len(codes)
    assert (tmp_path / "codes").read_text() == ""


def test_the_sweep_of_the_readme(tmp_path):
    """A folder with its own name, image, queue and entry point."""
    (job,) = example("sweeps/mine-laptop", tmp_path)
    assert job["metadata"]["name"] == "sweep-laptop"
    assert job["metadata"]["labels"] == {"kueue.x-k8s.io/queue-name": "sweeps"}
    assert "suspend" not in job["spec"], "Kueue sets it; applied again it would end the sweep"
    assert "--space laptop" in job["spec"]["entrypoint"]
    assert {c["image"] for _, template in pod_templates(job) for c in containers(template)} == {
        "registry.example/saliency-sweep:0.1.0-cuda"
    }
    assert violations(job) == []


def test_services_with_other_images_and_components(tmp_path):
    objects, of_a_team = (example(f"services/{name}", tmp_path / name) for name in ("mine", "mine-team-b"))
    assert {m["metadata"]["namespace"] for m in objects} == {"saliency-sweep"}
    assert {m["metadata"]["namespace"] for m in of_a_team} == {"team-b"}
    assert {"PodMonitor", "PrometheusRule", "CronJob"} <= {m["kind"] for m in objects}
    assert any("grafana_dashboard.json" in m.get("data", {}) for m in objects)
    tags = {c["image"].rpartition(":")[2] for t in all_templates("cpu").values() for c in containers(t)}
    images = {c["image"] for m in objects for _, t in pod_templates(m) for c in containers(t)}
    assert {image.partition("/")[0] for image in images} == {"registry.example"}
    assert {image.rpartition(":")[2] for image in images} == tags


def example(folder, tmp_path):
    """The rendered example of a page."""
    shutil.copytree(K8S, tmp_path / "k8s")
    made = tmp_path / "k8s" / folder
    made.mkdir()
    (made / "kustomization.yaml").write_text(EXAMPLES[folder])
    return list(yaml.safe_load_all(render(made)))


def test_deleting_the_services_keeps_the_data():
    """No namespace, secret or claim, except the claims of StatefulSets, which stay."""
    for services in ("embedded", "external"):
        kinds = {m["kind"] for m in yaml.safe_load_all(render(K8S / "services" / services))}
        assert not kinds & {"Namespace", "Secret", "PersistentVolumeClaim"}
    for name in ("postgres", "s3"):
        assert "persistentVolumeClaimRetentionPolicy" not in one("cpu", "StatefulSet", name)["spec"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_services_outrank_the_head_and_the_head_outranks_workers(overlay):
    values = {m["metadata"]["name"]: m["value"] for m in manifests(overlay) if m["kind"] == "PriorityClass"}
    names = {name: t["spec"].get("priorityClassName") for name, t in all_templates(overlay).items()}
    priority = {name: values.get(of_pod, 0) for name, of_pod in names.items()}
    services = {priority.pop(name) for name in SERVICES}
    assert min(services) > priority.pop("sweep/head") > max(priority.values())


def test_secrets_give_minimal_access():
    """A sweep's pods have neither MLflow's administrator account nor the key of its bucket; workers have no account."""
    made = secrets()
    for name, expected in (("sweep/head", {"s3", "mlflow-client"}), ("sweep/cpu", {"s3"})):
        sources = [source for c in containers(all_templates("cpu")[name]) for source in c["envFrom"]]
        assert {source["secretRef"]["name"] for source in sources if "secretRef" in source} == expected
    identities = json.loads(made["s3-server"]["identities.json"])["identities"]
    actions = {i["credentials"][0]["accessKey"]: i["actions"] for i in identities}
    for secret, bucket in (("s3", "sweeps"), ("mlflow", "mlflow")):
        assert {action.split(":")[1] for action in actions[made[secret]["AWS_ACCESS_KEY_ID"]]} == {bucket}
    values = [value for secret in made.values() for key, value in secret.items() if "KEY" in key or "PASSWORD" in key]
    assert all(len(value) == 48 for value in values if value not in ("sweeps", "mlflow"))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_admission_rules_name_what_sweeps_have(overlay):
    """Each field and secret of a sweep; tests/kubernetes tries the rules themselves."""
    policy = one(overlay, ADMISSION, "saliency-sweep-ray")["spec"]
    rules = {v["message"]: v["expression"] for v in policy["validations"]}
    (fields,) = (set(re.findall(r"'(\w+)'", rule)) for message, rule in rules.items() if "fields" in message)
    cluster = one(overlay, "RayJob", "sweep")["spec"]["rayClusterSpec"]
    assert {*cluster, *cluster["headGroupSpec"], *(key for g in cluster["workerGroupSpecs"] for key in g)} <= fields
    variables = {v["name"]: v["expression"] for v in policy["variables"]}
    sources = [source for _, t, c in each_container(overlay) if is_ray(t) for source in c.get("envFrom", [])]
    used = {source["secretRef"]["name"] for source in sources if "secretRef" in source}
    assert used == set(re.findall(r"'([\w-]+)'", variables["secrets"]))


def is_ray(template):
    return template["metadata"]["labels"]["saliency-sweep/role"] == "ray"


@pytest.mark.parametrize("services", ["embedded", "external"])
def test_mlflow_answers_to_whole_names(services):
    (mlflow,) = (m for m in yaml.safe_load_all(render(K8S / "services" / services)) if m["kind"] == "Deployment")
    (arguments,) = (c["args"] for c in mlflow["spec"]["template"]["spec"]["containers"])
    (hosts,) = (a.removeprefix("--allowed-hosts=").split(",") for a in arguments if a.startswith("--allowed-hosts="))
    # Only the port of a forwarded connection is free.
    assert {host for host in hosts if "*" in host} == {"localhost:*", "127.0.0.1:*"}


def install(folder, tmp_path):
    """The result of `k8s/install FOLDER` if all secrets exist, and kubectl's arguments with their input."""
    text = (
        f'echo "$@" >> {tmp_path}/calls\n'
        f'case "$*" in kustomize*) exec {KUBECTL} "$@" ;; *"--filename -") cat >> {tmp_path}/calls ;; esac'
    )
    done = run_with(tmp_path, {"kubectl": text}, str(K8S / "install"), str(folder))
    return done, (tmp_path / "calls").read_text()


@pytest.mark.parametrize("namespace", ["saliency-sweep", "team-b"])
def test_existing_secrets_are_kept(namespace, tmp_path):
    folder = kustomization(tmp_path / "mine", "services/embedded", namespace=namespace)
    done, calls = install(folder, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "create" not in calls
    assert calls.splitlines()[-1] == f"--namespace {namespace} apply --kustomize {folder}"
    assert f"  name: {namespace}\n" in calls, "the namespace"
    other = ({"saliency-sweep", "team-b"} - {namespace}).pop()
    assert not re.search(rf"\b{other}\b(?!/)", calls.replace("saliency-sweep/", "")), calls
    assert "priorities.yaml" in calls


def test_services_in_two_namespaces_are_refused(tmp_path):
    patch = '[{"op": "replace", "path": "/metadata/namespace", "value": "team-b"}]'
    parts = {"patches": [{"target": {"kind": "StatefulSet"}, "patch": patch}]}
    done, calls = install(kustomization(tmp_path / "mine", "services/embedded", **parts), tmp_path)
    assert done.returncode == 2
    assert "saliency-sweep\nteam-b" in done.stderr
    assert "apply" not in calls


def test_the_namespace_is_a_setting(tmp_path):
    """The namespace is only in the objects' metadata, so a team's folder names it once."""
    ours, theirs = (services_with_backup(name) for name in ("saliency-sweep", "team-b"))
    assert ours.replace("namespace: saliency-sweep\n", "namespace: team-b\n") == theirs
    # Other names with this prefix: labels, priority classes, and the sweep's image.
    assert set(re.findall(r"saliency-sweep\S*", theirs)) == {
        *("saliency-sweep/role:", "saliency-sweep/role", "saliency-sweep/pipelines:", "saliency-sweep/operator:"),
        *("saliency-sweep-services", "saliency-sweep:0.1.0"),
    }
    mine = kustomization(tmp_path / "mine", "sweeps/gpu", ["sweeps/queued"], namespace="team-b")
    nightly = kustomization(tmp_path / "nightly", str(mine), ["sweeps/scheduled"])
    for folder in (mine, nightly):
        (sweep,) = yaml.safe_load_all(render(folder))
        assert sweep["metadata"]["namespace"] == "team-b"
    for loose in ("kubeflow/rbac.yaml", "kueue/queue.yaml"):
        assert "\n  namespace:" not in (K8S / loose).read_text(), "applied with kubectl --namespace"


def test_the_image_contains_every_package():
    """Every package of the project is copied into the image, and .dockerignore does not exclude it."""
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
    assert re.findall(r"^USER (.+)$", dockerfile, re.MULTILINE)[-1] == "10001:10001"
    assert "latest" not in dockerfile
    # constraints.txt, which the image installs, is made for that Python.
    constraints = re.search(r"^constraints:.*?--python-version (\S+)", (ROOT / "Makefile").read_text(), re.M | re.S)
    assert re.search(r"PYTHON_VERSION=(\d+\.\d+)", dockerfile)[1] == constraints[1]
