"""What devices have in common that are programmed in a C-like language and run what is queued for them.

Arrays, memory, queues, launches and all kernels, whose texts are in the dialects of `flambeau.ir.dialect`: OpenCL C and
CUDA C. A backend subclasses `device.Device` and `lanes.Lane`, which say how its driver compiles, launches and copies.
"""
