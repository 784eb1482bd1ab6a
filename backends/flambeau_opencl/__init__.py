"""The backend "opencl": GPUs of AMD, Intel and Apple, and whatever else has an OpenCL driver, through pyopencl."""

from flambeau_opencl.backend import OpenCLBackend

__all__ = ["OpenCLBackend"]
