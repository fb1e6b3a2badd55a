"""What depends on no framework holds its guards on JAX and PyTorch too; takes minutes."""

import importlib.util

import pytest

from keras_ab.bench.lab.loop.forkserver import ForkServer
from tests.bench.declared import DECLARED, first_case, rehearse

AGNOSTIC = [
    name
    for name, (_, experiment) in DECLARED.items()
    if set(experiment.backends) > {"tensorflow"} and first_case(experiment).quick
]


@pytest.fixture(scope="module", params=("jax", "torch"))
def elsewhere(request):
    if importlib.util.find_spec(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    server = ForkServer(request.param)
    yield request.param, server
    server.close()


@pytest.mark.parametrize("name", AGNOSTIC)
def test_guards_hold(name, elsewhere):
    backend, server = elsewhere
    path, experiment = DECLARED[name]
    data = rehearse(path, name, backend, server)
    assert (data.failures, data.broken) == ([], [])
    assert experiment.baseline.name in {check.arm for check in data.checks}
