"""Orders, claims and runs as a fleet would have made them, and nodes as they tell of themselves."""

from keras_ab.bench.fleet.orders import Order, divided
from keras_ab.bench.fleet.shipping import Shipping
from keras_ab.bench.fleet.state import Claim
from keras_ab.bench.fleet.there import There
from keras_ab.bench.lab.record.declared import Node
from keras_ab.bench.lab.record.run_file import RunWriter
from tests.reports.scenes import scenes
from tests.reports.simulated import header, records

SCENES = scenes()[:3]
NAMES = [scene.name for scene in SCENES]
FLEET = "2026-01-02T0304-abcdef"


def order(kinds, repeat=1, shard=False):
    trials = {kind: dict.fromkeys(NAMES, 1.0) for kind in kinds}
    units = divided(trials, kinds, repeat, shard=shard)
    told = {"arguments": ["-k", "tiny"], "backend": "plain", "units": units}
    return Order(fleet=FLEET, asked="2026-01-02T03:04:05+00:00", **told)


def there(name, kind="cpu", **more):
    facts = {"machine": {"cpu": "A", "cores_usable": 2, "memory_bytes": 2**30}, "software": {}}
    told = {"id": f"id-{name}", "now": "2026-01-02T03:04:05+00:00", "variables": {}}
    return There(**(facts | told | {"name": name, "kind": kind} | more))


def ship(place, folder, node, trials, *, half=0, seal=True):
    """Claim a run, make it of so many whole trials and so many records more, and ship it."""
    claim = Claim.of(node)
    place.create(claim.name, claim.model_dump_json().encode())
    head = header(node.run).model_copy(update={"node": node})
    writer = RunWriter.create(folder / f"{node.run}.jsonl", head)
    wanted = [scene for scene in SCENES if scene.name in trials]
    lines = [line for scene in wanted for line in records(scene, 1)]
    if half:
        (other,) = [scene for scene in SCENES if scene.name not in trials][:1]
        lines += records(other, 1)[:half]
    for line in lines:
        writer.write(line)
    if seal:
        writer.seal()
    else:
        writer.close()
    Shipping(writer.path, place, node.place).ship(all_of_it=True)


def node(unit, name="n1", attempt=1, kind="cpu"):
    return Node(name=name, kind=kind, fleet=FLEET, unit=unit, attempt=attempt)
