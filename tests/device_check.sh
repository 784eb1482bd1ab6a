#!/usr/bin/env bash
# tests/device_check.sh [DEVICE...]: what works on this machine's devices, and how fast, in under ten minutes.
#
# Without names: every GPU, through CUDA and through OpenCL. `tests/device_check.sh opencl` checks that device whatever it
# is. Needs an environment in which Flambeau and pytest are installed (PYTHON names its interpreter) and nothing else:
# installs nothing, downloads nothing. Writes device-check-DATE.json and .html into the folder that DEVICE_CHECK_OUT
# names, or the current one; the exit status is 0 where every step passed.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
export PYTHONPATH="$root/core:$root/backends:$root/plugins${PYTHONPATH:+:$PYTHONPATH}"
exec "${PYTHON:-python3}" "$root/tests/device_check.py" "$@"
