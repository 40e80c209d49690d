"""The cluster of KUBECONFIG, empty at first, then with all services."""

import os

import pytest
from support.real_cluster import FEW_PROCESSORS, NAMESPACE, Cluster, SweepJob

KEEP = "KEEP" in os.environ
"""Whether installations stay after the tests."""


@pytest.fixture(scope="session")
def cluster():
    """A cluster without our objects; those of the tests are deleted at the end."""
    cluster = Cluster(os.environ.get("IMAGES", ""))
    answer = cluster.run("kubectl", "get", "customresourcedefinitions", "--output", "name", check=False)
    if answer.returncode:
        pytest.exit(f"no cluster answers; KUBECONFIG is {os.environ.get('KUBECONFIG')!r}: {answer.stderr}", 2)
    if "rayjobs.ray.io" not in answer.stdout:
        pytest.exit("the cluster has no KubeRay: k8s/README.md says how to install it", 2)
    cluster.has_kueue = "clusterqueues.kueue.x-k8s.io" in answer.stdout
    if not KEEP and cluster.run("kubectl", "get", "namespace", NAMESPACE, check=False).returncode == 0:
        pytest.exit(f"namespace {NAMESPACE} exists; the tests need a cluster without it, and delete it at the end", 2)
    yield cluster
    if not KEEP:
        cluster.run("kubectl", "delete", "namespace", NAMESPACE)
        cluster.run("kubectl", "delete", "--ignore-not-found", "--kustomize", "k8s/kueue", check=False)


@pytest.fixture
def services(cluster):
    """The cluster with all services ready."""
    cluster.install()
    cluster.wait_for_services()
    return cluster


@pytest.fixture(scope="session")
def other_team(cluster):
    """A second installation, in a namespace of its own."""
    other = Cluster(os.environ.get("IMAGES", ""), f"{NAMESPACE}-other", patches=FEW_PROCESSORS)
    other.install()
    other.wait_for_services()
    yield other
    if not KEEP:
        other.run("kubectl", "delete", "namespace", other.namespace, "--ignore-not-found")


@pytest.fixture
def start(cluster, request):
    """start(name) makes a sweep, which is deleted after the test; if the test failed, its state is printed."""
    jobs = []

    def make(name, where=cluster, **options):
        jobs.append(SweepJob(where, name, **options))
        return jobs[-1]

    yield make
    for job in jobs:
        print(f"== the end of {job.name}\n{job.end_of_log()}")
        if getattr(request.node, "failed", False):
            print(job.tell())
        job.delete()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Tells fixtures whether their test failed."""
    report = yield
    if report.failed:
        item.failed = True
    return report
