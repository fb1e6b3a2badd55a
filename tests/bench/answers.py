"""Which method of a fake worker answers which request."""

import re

from keras_ab.bench.lab.worker.protocol import REQUESTS

METHODS = {kind: re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower() for kind in REQUESTS}
"""``watch_memory`` answers `WatchMemory`."""
