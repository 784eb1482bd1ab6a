"""What modules hold: containers, hooks on modules and tensors, parameters of one's own, penalties, gradients read."""
import torch
import torch.nn as nn
import torch.nn.functional as F

torch.manual_seed(2)


class Residual(nn.Module):
    def __init__(self, inputs, outputs, stride=1):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs))
        same = stride == 1 and inputs == outputs
        self.short = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x):
        out = self.body(x)
        out += self.short(x)
        return F.relu(out, inplace=True)


class Heads(nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk = nn.Sequential(Residual(1, 4), Residual(4, 8, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.heads = nn.ModuleDict({"class": nn.Linear(8, 3), "size": nn.Linear(8, 1)})
        self.gains = nn.ParameterList([nn.Parameter(torch.ones(8)) for _ in range(2)])
        self.log_vars = nn.Parameter(torch.zeros(2))
        self.dropouts = nn.ModuleList([nn.Dropout(0.2), nn.Dropout2d(0.1)])
        self.register_buffer("mean", torch.full((1,), 0.5))

    def forward(self, x):
        h = self.dropouts[0](self.trunk(self.dropouts[1](x - self.mean)))
        return {name: head(h * gain) for (name, head), gain in zip(self.heads.items(), self.gains)}

    def extra_repr(self):
        return f"heads={len(self.heads)}"


model = Heads()
print(model)
for module in model.modules():
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
seen = {}


def remember(name):
    def hook(module, inputs, output):
        seen[name] = tuple(output.detach().shape)
    return hook


handles = [module.register_forward_hook(remember(name)) for name, module in model.named_modules()
           if isinstance(module, (nn.Conv2d, nn.Linear))]
x, kinds, sizes = torch.randn(6, 1, 8, 8), torch.randint(0, 3, (6,)), torch.rand(6, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True)
for step in range(4):
    out = model(x)
    losses = torch.stack([F.cross_entropy(out["class"], kinds), F.smooth_l1_loss(out["size"], sizes)])
    loss = (torch.exp(-model.log_vars) * losses + model.log_vars).sum()
    penalty = sum(p.abs().sum() for n, p in model.named_parameters() if n.endswith("weight"))
    optimizer.zero_grad()
    (loss + 1e-4 * penalty).backward()
    total = sum(p.grad.data.norm(2).item() ** 2 for p in model.parameters()) ** 0.5
    optimizer.step()
    print(f"{step} {loss.item():.3f} {penalty.item():.2f} {total:.2f}")
for handle in handles:
    handle.remove()
print(seen)
print([(n, tuple(p.shape)) for n, p in model.named_parameters()][-6:], sum(p.numel() for p in model.parameters()))
print([n for n, _ in model.named_buffers()][-2:], [n for n, _ in model.named_children()])
model.heads["class"].register_full_backward_hook(
    lambda module, grad_in, grad_out: print("backward", grad_in[0].shape, grad_out[0].shape))
model.eval()
model(x)["class"].logsumexp(1).sum().backward()
print(model.training, model.trunk[0].body[1].num_batches_tracked, [m.training for m in model.dropouts])

a = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
b = a * 2
b.retain_grad()
b.register_hook(lambda g: g * 10)
a.register_hook(lambda g: print("gradient of a", g))
(b ** 2).sum().backward()
print(a.grad, b.grad, b)
for i, (name, parameter) in enumerate(model.heads.named_parameters()):
    if i < 2:
        parameter.data.fill_(0.25 * (i + 1))
        print(f"{name:<14}| {tuple(parameter.size())} | {parameter[0].data}")
del model.heads["size"]
model.heads["extra"] = nn.Sequential(nn.Linear(8, 2), nn.Sigmoid())
stack = nn.ModuleList([nn.Linear(2, 2), nn.ReLU()])
stack.append(nn.Tanh())
stack.insert(1, nn.Identity())
print(model.heads, stack, stack[1:3], stack[-1])
print(model.half().log_vars.dtype, model.double().mean.dtype, model.float().heads["extra"][0].weight.dtype)
q = torch.randn(2, 2, 4, 3)
scores = torch.einsum("bhqd,bhkd->bhqk", q, q) / q.size(-1) ** 0.5
print(torch.allclose(scores.softmax(-1) @ q, F.scaled_dot_product_attention(q, q, q), atol=1e-6), scores.shape)
