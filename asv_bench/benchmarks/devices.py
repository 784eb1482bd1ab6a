"""What the devices of this machine do: launches, memory, arithmetic, copies. Each is a parameter of each benchmark.

`discovery` says which devices there are; simulated ones are for tests and are left out. Where PyTorch sees a CUDA
device, "torch on cuda" is a parameter, too, and CuPy has the benchmarks that it has functions for. Work that is queued
is waited for, except where the price of queueing is what is measured.
"""

import importlib
import importlib.util

from .libraries import LIBRARIES, library

BATCH = 100


def devices():
    """The device strings of this machine, the processor's first."""
    discovery = importlib.import_module("flambeau.discovery")
    names = {}
    for row in discovery.report():
        if row["devices"] and not discovery.backend_for(row["name"]).capabilities.simulated:
            count = len(row["devices"])
            names[row["name"]] = [row["name"]] if count == 1 else [f"{row['name']}:{i}" for i in range(count)]
    found = [each for name in sorted(names, key=lambda name: name != "cpu") for each in names[name]]
    beside = "cuda" in names and "torch" in LIBRARIES and importlib.import_module("torch").cuda.is_available()
    return found + ["torch on cuda"] * beside


def cupy():
    """CuPy, where "cuda" is a device of this machine."""
    if "cuda" not in (each.partition(":")[0] for each in DEVICES) or not importlib.util.find_spec("cupy"):
        raise NotImplementedError("there is no CUDA device, or no CuPy")     # asv passes over the benchmark
    return importlib.import_module("cupy")


DEVICES = devices()


class _OnDevice:
    """The subclasses make their tensors on `self.device` and call `self.wait()` where it counts."""

    params = (DEVICES,)
    param_names = ("device",)
    timeout = 120

    def setup(self, device):
        other, _, self.device = device.rpartition(" on ")
        self.torch = library(other or "flambeau")
        if other:
            self.wait = self.torch.cuda.synchronize
        self.make()
        self.wait()

    def make(self):
        raise NotImplementedError

    def wait(self):
        kind = self.torch.empty(0, device=self.device)._kind
        kind.backend.synchronize(kind.index)


class Launch(_OnDevice):
    """Operators on ten numbers: 100 calls, divide the time by that."""

    def make(self):
        self.a, self.b = self.torch.ones(10, device=self.device), self.torch.ones(10, device=self.device)
        self.a + self.b

    def time_queue_100_additions(self, device):
        a, b = self.a, self.b
        for _ in range(BATCH):
            a + b

    def time_queue_100_negations(self, device):
        a = self.a
        for _ in range(BATCH):
            a.neg()

    def time_queue_100_additions_of_a_number(self, device):
        a = self.a
        for _ in range(BATCH):
            a + 2.0

    def time_queue_100_additions_in_place(self, device):
        a, b = self.a, self.b
        for _ in range(BATCH):
            a.add_(b)

    def time_100_views(self, device):
        a = self.a
        for _ in range(BATCH):
            a[1:]

    def time_100_items(self, device):
        a = self.b[0]
        for _ in range(BATCH):
            a.item()

    def teardown(self, device):
        self.wait()

    def time_add_and_read(self, device):
        (self.a + self.b).tolist()


class Pointwise(_OnDevice):
    """16 million floats: bound by memory. Adding reads two and writes one; a copy reads one and writes one."""

    def make(self):
        size = 1 << 24
        self.a, self.b = self.torch.ones(size, device=self.device), self.torch.ones(size, device=self.device)

    def time_add(self, device):
        self.a + self.b
        self.wait()

    def time_clone(self, device):
        self.a.clone()
        self.wait()

    def time_exp(self, device):
        self.a.exp()
        self.wait()

    def time_sin(self, device):
        self.a.sin()
        self.wait()

    def time_pow(self, device):
        self.a ** 1.3
        self.wait()

    def time_sum(self, device):
        self.a.sum()
        self.wait()


class Copies(_OnDevice):
    """64 MiB between the host and the device."""

    def make(self):
        self.there = self.torch.ones(1 << 24)
        self.here = self.there.to(self.device)

    def time_to_device(self, device):
        self.there.to(self.device)
        self.wait()

    def time_to_host(self, device):
        self.here.cpu()


class Matmul(_OnDevice):
    """Products of two square matrices of 1024 rows, float32."""

    def make(self):
        self.a = self.torch.ones(1024, 1024, device=self.device)
        self.b = self.torch.ones(1024, 1024, device=self.device)
        self.a @ self.b

    def time_matmul(self, device):
        self.a @ self.b
        self.wait()


class Step(_OnDevice):
    """A step of the demo's classifier, batch 64, Adam, with the loss read back."""

    def make(self):
        torch = self.torch
        nn = torch.nn
        self.model = nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Dropout(0.2), nn.Linear(128, 64),
                                   nn.ReLU(), nn.Linear(64, 10)).to(self.device)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3)
        self.images = torch.randn(64, 1, 28, 28).to(self.device)
        self.labels = torch.randint(0, 10, (64,)).to(self.device)
        self.time_step(self.device)

    def time_step(self, device):
        self.optimizer.zero_grad()
        loss = self.torch.nn.functional.cross_entropy(self.model(self.images), self.labels)
        loss.backward()
        self.optimizer.step()
        loss.item()


class CuPy:
    """The same of CuPy, where it is and has a device."""

    timeout = 120

    def setup(self):
        self.cupy = cupy()
        self.wait = self.cupy.cuda.runtime.deviceSynchronize
        self.a, self.b = (self.cupy.ones(10, dtype="float32") for _ in range(2))
        self.long, self.other = (self.cupy.ones(1 << 24, dtype="float32") for _ in range(2))
        self.matrix = self.cupy.ones((1024, 1024), dtype="float32")
        self.there = self.cupy.asnumpy(self.long)
        self.a + self.b
        self.matrix @ self.matrix
        self.wait()

    def time_queue_100_additions(self):
        a, b = self.a, self.b
        for _ in range(BATCH):
            a + b

    def time_add(self):
        self.long + self.other
        self.wait()

    def time_exp(self):
        self.cupy.exp(self.long)
        self.wait()

    def time_sum(self):
        self.long.sum()
        self.wait()

    def time_matmul(self):
        self.matrix @ self.matrix
        self.wait()

    def time_to_device(self):
        self.cupy.array(self.there)
        self.wait()

    def time_to_host(self):
        self.cupy.asnumpy(self.long)
