"""On a cluster a folder can hold the records only if all nodes share it."""

import uuid

from driver.errors import UserError
from records import SweepRecords, open_storage
from records.storage import FolderStorage

MEND = "give --storage s3://bucket/prefix, or a folder that all nodes share"


def check_shared(records: SweepRecords) -> None:
    """Ask every node of the cluster for a file that was just written to the sweep's storage.

    Raises:
        UserError: a node does not have it.
    """
    if not isinstance(records.storage, FolderStorage):
        return
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    name = f"{records.name}/.shared-{uuid.uuid4().hex}"
    records.storage.write(name, b"shared")
    try:
        nodes = {node["NodeID"]: node["NodeManagerHostname"] for node in ray.nodes() if node["Alive"]}
        look = ray.remote(num_cpus=0)(_has)
        answers = {
            host: look.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(
                records.storage.location, name
            )
            for node, host in nodes.items()
        }
        for host, answer in answers.items():
            if not ray.get(answer):
                raise UserError(f"node {host} does not have the folder {records.storage.location!r}; {MEND}")
    finally:
        records.storage.delete(name)


def _has(location: str, name: str) -> bool:
    return open_storage(location).read(name) is not None
