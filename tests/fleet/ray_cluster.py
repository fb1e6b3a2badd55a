"""Several nodes of a Ray cluster on this machine: ``python -m tests.fleet.ray_cluster NODES``.

Prints its address; then it does what it reads, a line each: ``kill NAME``, ``add NAME KIND``.
"""

import json
import os
import sys

MIB = 2**20


def main():
    """Start nodes, and do as told until nobody tells anything more."""
    os.environ.setdefault("RAY_memory_monitor_refresh_ms", "0")
    from ray.cluster_utils import Cluster

    cluster, there = Cluster(), {}

    def add(name, kind, **more):
        labels = {"keras-ab-node": name, "keras-ab-kind": kind}
        own = {"num_cpus": 1, "resources": {"keras-ab": 1}, "labels": labels}
        there[name] = cluster.add_node(object_store_memory=80 * MIB, **(own | more))

    add("head", "head", include_dashboard=False, resources={}, num_cpus=0)
    for name, kind in json.loads(sys.argv[1]).items():
        add(name, kind)
    print(cluster.address, flush=True)
    for line in sys.stdin:
        what, name, *kind = line.split()
        if what == "kill":
            cluster.remove_node(there.pop(name), allow_graceful=False)
        else:
            add(name, *kind)
        print("done", flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    main()
