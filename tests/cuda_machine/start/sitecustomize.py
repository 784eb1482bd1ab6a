"""Python imports this by itself as it starts, where its folder is in PYTHONPATH: the way into started processes."""

import json
import os
import sys
from pathlib import Path

_tests = str(Path(__file__).resolve().parents[2])
if _tests not in sys.path:
    sys.path.append(_tests)

import cuda_machine  # noqa: E402 - found only now

cuda_machine.install(**json.loads(os.environ.get(cuda_machine.OPTIONS, "{}")))
