#!/usr/bin/env bash
# tests/device_check.sh [DEVICE...] [--minutes N] [--only STEP]: what works on this machine's devices, and how fast, in
# under ten minutes.
#
# Without names: every GPU, through CUDA and through OpenCL. `tests/device_check.sh opencl` checks that device whatever
# it is. Needs a Python (PYTHON names it) with numpy, ml_dtypes, pluggy, pytest and the device's own package (cupy,
# pyopencl); PyTorch, pytest-xdist and pytest-timeout are used where they are. Flambeau need not be installed. Installs
# nothing, downloads nothing. Writes device-check-DATE.json and .html, and the conformance suite's report in the form
# that docs/reports keeps, into the folder that DEVICE_CHECK_OUT names, or the current one. The exit status is 0 where
# every step passed, 1 where one did not, 2 where there is no GPU or a package is missing without which nothing works.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
export PYTHONPATH="$root/core:$root/backends:$root/plugins${PYTHONPATH:+:$PYTHONPATH}"
export FLAMBEAU_PLUGIN_TIMEOUT=${FLAMBEAU_PLUGIN_TIMEOUT:-120} # a GPU's libraries may take long to load at first
exec "${PYTHON:-python3}" "$root/tests/device_check.py" "$@"
