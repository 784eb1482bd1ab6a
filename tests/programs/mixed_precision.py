"""Mixed precision as in training scripts: autocast, a gradient scaler, clipping, accumulation, evaluation, a resumed
scaler, a function of one's own, and a module that leaves autocast for a sum."""
import torch
from torch import nn
from torch.amp import GradScaler, autocast

torch.manual_seed(0)


class Scale(torch.autograd.Function):
    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.float32)
    def forward(ctx, x, factor):
        ctx.factor = factor
        return x * factor

    @staticmethod
    @torch.amp.custom_bwd(device_type="cpu")
    def backward(ctx, grad):
        return grad * ctx.factor, None


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(4 * 16, 16), nn.ReLU(), nn.LayerNorm(16))
        self.head = nn.Linear(16, 3)

    def forward(self, x):
        x = self.norm(self.stem(x)).relu()
        x = self.body(x)
        with autocast("cpu", enabled=False):
            x = x.float() - x.float().mean(0)
        return Scale.apply(self.head(x), 2.0)


def batch():
    y = torch.randint(0, 3, (24,))
    x = 0.3 * torch.randn(24, 1, 4, 4)
    x[torch.arange(24), 0, y, y] += 2.0
    return x, y


def train(half, steps):
    torch.manual_seed(1)
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    loss_fn = nn.CrossEntropyLoss()
    scaler = GradScaler("cpu", init_scale=2.0 ** 10, growth_interval=8, enabled=half is torch.float16)
    losses = []
    for step in range(steps):
        x, y = batch()
        optimizer.zero_grad()
        for part in (slice(0, 12), slice(12, 24)):
            with autocast("cpu", dtype=half, enabled=half is not None):
                out = model(x[part])
                loss = loss_fn(out, y[part]) / 2
            scaler.scale(loss).backward()
        if half is torch.float16 and step == 3:
            model.head.weight.grad[0, 0] = float("inf")
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        scaler.step(optimizer)
        scaler.update()
        losses.append(2 * loss.item())
        if step in (0, 3, 11):
            print(step, out.dtype, loss.dtype, model.head.weight.grad.dtype, scaler.get_scale())
    return model, scaler, sum(losses[-5:]) / 5


for half in (None, torch.bfloat16, torch.float16):
    model, scaler, loss = train(half, 40)
    print(half, "learns:", loss < 0.1, scaler.is_enabled(), scaler.state_dict().get("_growth_tracker"))
    model.eval()
    with torch.no_grad(), autocast("cpu", dtype=torch.bfloat16, enabled=half is not None):
        x, y = batch()
        out = model(x)
    print(out.dtype, bool((out.argmax(1) == y).float().mean() > 0.9), {p.dtype for p in model.parameters()})

resumed = GradScaler("cpu")
resumed.load_state_dict(scaler.state_dict())
print(resumed.get_scale() == scaler.get_scale(), resumed.get_growth_interval())
try:
    scaler.update()
except AssertionError as error:
    print("AssertionError", "No inf checks were recorded" in str(error))


@autocast("cpu", dtype=torch.bfloat16)
def product(a, b):
    return a @ b


a = torch.ones(2, 2, requires_grad=True)
both = product(a, a)
both.sum().backward()
print(both, a.grad, torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu"))
