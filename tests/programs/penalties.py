"""Gradients of gradients: a gradient penalty, Hessian-vector products, functions with a backward of their own."""
import torch
import torch.nn as nn
from torch.autograd import Function, grad, gradcheck, gradgradcheck

torch.manual_seed(3)


def gradient_penalty(critic, real, fake):
    alpha = torch.rand(real.size(0), 1).expand_as(real)
    mixed = (alpha * real + (1 - alpha) * fake).requires_grad_(True)
    scores = critic(mixed)
    gradients = grad(outputs=scores, inputs=mixed, grad_outputs=torch.ones_like(scores), create_graph=True,
                     retain_graph=True, only_inputs=True)[0]
    return ((gradients.view(gradients.size(0), -1).norm(2, dim=1) - 1) ** 2).mean()


critic = nn.Sequential(nn.Linear(4, 16), nn.LeakyReLU(0.2), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 1))
maker = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 4))
critic_optimizer = torch.optim.Adam(critic.parameters(), lr=1e-2, betas=(0.0, 0.9))
maker_optimizer = torch.optim.RMSprop(maker.parameters(), lr=1e-3)
for iteration in range(6):
    real = torch.randn(16, 4) * 0.5 + 2
    fake = maker(torch.randn(16, 2)).detach()
    critic_optimizer.zero_grad()
    loss = critic(fake).mean() - critic(real).mean() + 10 * gradient_penalty(critic, real, fake)
    loss.backward()
    critic_optimizer.step()
    maker_optimizer.zero_grad()
    maker_loss = -critic(maker(torch.randn(16, 2))).mean()
    maker_loss.backward()
    maker_optimizer.step()
    print(f"{iteration} critic {loss.item():.3f} maker {maker_loss.item():.3f}")

x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
direction = torch.tensor([1.0, 0.0, -1.0])
first, = grad((x ** 3).sum() + x.prod(), x, create_graph=True)
print(first, grad(first @ direction, x))
print(torch.autograd.functional.hessian(lambda v: (v ** 3).sum() + v.prod(), x.detach()))
print(torch.autograd.functional.jacobian(lambda v: torch.stack([v.sum(), v.prod()]), x.detach()))


class Cube(Function):
    @staticmethod
    def forward(ctx, value):
        ctx.save_for_backward(value)
        return value ** 3

    @staticmethod
    def backward(ctx, gradient):
        value, = ctx.saved_tensors
        return gradient * 3 * value ** 2


class Straight(Function):
    @staticmethod
    def forward(ctx, value, threshold):
        return (value > threshold).float()

    @staticmethod
    def backward(ctx, gradient):
        return gradient.clamp(-1, 1), None


print(Cube.apply(x))
inputs = torch.randn(4, dtype=torch.double, requires_grad=True)
print(gradcheck(Cube.apply, (inputs,)), gradgradcheck(Cube.apply, (inputs,)))
hard = Straight.apply(x, 1.5)
(hard * torch.tensor([0.5, 3.0, -7.0])).sum().backward()
print(hard, x.grad)

z = (x * 2).sum()
z.backward()
try:
    z.backward()
except RuntimeError as error:
    print("second time" in str(error))
frozen = [p.requires_grad_(False) for p in critic[0].parameters()]
out = critic(torch.ones(1, 4)).sum()
out.backward()
print([name for name, p in critic.named_parameters() if p.requires_grad], frozen[0].requires_grad)
