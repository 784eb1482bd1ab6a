KERNELS: dict[str, object] = {}
