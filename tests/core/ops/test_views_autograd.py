"""Gradients through views and through changes in place, of views and of what they are views of, against PyTorch."""

import warnings

import numpy as np
import pytest

import flambeau

torch = pytest.importorskip("torch", reason="PyTorch is the oracle")

VALUES = np.random.RandomState(1).randn(2, 3, 4).round(2).tolist()


def program_0(torch, x, w):
    y = x * 2
    v = y[1]
    v.mul_(w[0])
    return (y * y).sum() + (v * 3).sum()


def program_1(torch, x, w):
    y = x * 2
    v = y[:, 1:3]
    u = v.t()
    u.add_(w[:, 1:3].t())
    u.mul_(2)
    return (y * v.sum()).sum()


def program_2(torch, x, w):
    y = x * 2
    v = y.view(-1)
    v[3] = w[0, 0]
    return (y**2).sum()


def program_3(torch, x, w):
    y = x * 2
    v = y.transpose(0, 1)
    v[0] = 5.0
    z = y * w
    v[1] = w[:, 0]
    return (z * y).sum()


def program_4(torch, x, w):
    y = torch.zeros(3, 4)
    v = y[0]
    v.copy_(w[0])
    return (y * x).sum() + (v * v).sum()


def program_5(torch, x, w):
    y = torch.zeros(3, 4)
    v = y.view(4, 3)
    y.add_(w)
    return (v * v).sum()


def program_6(torch, x, w):
    y = x * 1
    y[y > 0] = 0.0
    return (y * w).sum()


def program_7(torch, x, w):
    y = x * 1
    y[torch.tensor([0, 2])] = w[:2]
    return (y * y).sum()


def program_8(torch, x, w):
    y = x * 1
    y[:, torch.tensor([0, 0, 1])] = w[:, :3]
    return (y[:, :1] * 3).sum() + y[:, 1:].sum()


def program_9(torch, x, w):
    y = x * 1
    y[torch.tensor([0, 2]), torch.tensor([1, 1])] += w[0, :2]
    return (y * y).sum()


def program_10(torch, x, w):
    y = x * 1
    y.index_put_((torch.tensor([0, 0]),), w[:2], accumulate=True)
    return (y * y).sum()


def program_11(torch, x, w):
    y = x * 1
    y.index_add_(1, torch.tensor([0, 0]), w[:, :2], alpha=3)
    return (y * y).sum()


def program_12(torch, x, w):
    y = x * 1
    y.index_copy_(0, torch.tensor([2, 0]), w[:2])
    return (y * y).sum()


def program_13(torch, x, w):
    y = x * 1
    y.index_fill_(0, torch.tensor([2, 0]), 2.0)
    return (y * w).sum()


def program_14(torch, x, w):
    y = x * 1
    y.unsqueeze_(0)
    y.squeeze_(0)
    y.t_()
    return (y * w.t()).sum()


def program_15(torch, x, w):
    y = x * 1
    v = y[0]
    v.unsqueeze_(0)
    v.mul_(w[:1])
    return (y * y).sum()


def program_16(torch, x, w):
    y = x * 1
    v = y.expand(2, 3, 4)[0]
    return (v * w).sum()


def program_17(torch, x, w):
    y = x * 1
    v = y.diagonal()
    v.mul_(w[0, :3])
    return (y * y).sum()


def program_18(torch, x, w):
    y = x * 1
    v = y.unfold(1, 2, 2)
    v.mul_(2)
    return (y * y * w).sum()


def program_19(torch, x, w):
    y = x * 1
    v = y.as_strided((2, 2), (1, 5), 1)
    v.mul_(w[:2, :2])
    return (y * y).sum()


def program_20(torch, x, w):
    y = x * 1
    a, b = y.split(2, 1)
    return (a * b).sum()


def program_21(torch, x, w):
    y = x * 1
    a = y[0:2]
    b = y[1:3]
    a.mul_(w[:2])
    b.mul_(3)
    return (a * a).sum() + (b * w[1:]).sum()


def program_22(torch, x, w):
    y = x * 1
    _ = y * w
    y[0] = 0.0
    return y.sum()


def program_23(torch, x, w):
    y = x * 1
    v = y.detach()
    v.zero_()
    return (y * w).sum()


def program_24(torch, x, w):
    y = x * 1
    v = y[0]
    y = y * 2
    v.mul_(2)
    return (y * y).sum()


def program_25(torch, x, w):
    y = x * 1
    v = y[None, :, :2]
    v.fill_(1.0)
    return (y * w).sum()


def program_26(torch, x, w):
    y = x * 1
    v = y.permute(1, 0).reshape(2, 2, 3)[0]
    return (v * v).sum()


def program_27(torch, x, w):
    y = x * 1
    y[1:, None, ::2] = w[:1, :2]
    return (y * y).sum()


def program_28(torch, x, w):
    y = x * 1
    y[..., 0] = w[:, 1]
    y[-1] = w[0] * 2
    return (y * y * w).sum()


def program_29(torch, x, w):
    y = (x * 1).t()
    v = y.t().view(-1)
    v.mul_(2)
    return (y * y).sum()


def program_30(torch, x, w):
    y = x.t() + 1
    v = y.t().view(-1)
    v[2:5].mul_(w.reshape(-1)[:3])
    return (y * y).sum()


def program_31(torch, x, w):
    y = x * 1
    y.masked_fill_(w > 0, 3.0)
    return (y * w).sum()


def program_32(torch, x, w):
    y = x * 1
    y.resize_(2, 2)
    return x


def program_33(torch, x, w):
    y = x * 1
    a, _ = y.split(2, 1)
    a.mul_(2)
    return x


def program_34(torch, x, w):
    x[0] = 1.0
    return x


def program_35(torch, x, w):
    x.view(-1).mul_(2)
    return x


def program_36(torch, x, w):
    x.unsqueeze_(0)
    return x


def program_37(torch, x, w):
    y = x * 1
    y.expand(2, 3, 4).add_(1)
    return x


def program_38(torch, x, w):
    y = x * 1
    v = y.exp()
    v[0] = 1.0
    v.sum().backward()
    return x


def program_39(torch, x, w):
    y = x.exp()
    y[0] = 0.0
    return y.sum()


def program_40(torch, x, w):
    y = torch.zeros(4, 4, requires_grad=False)
    y.diagonal().copy_(w[0])
    y[1:3, 1:3] += x[:2, :2]
    return (y @ y).sum()


def program_41(torch, x, w):
    y = x.clone()
    u = y.unbind(0)
    return (u[0] * u[2]).sum()


def program_42(torch, x, w):
    c = torch.view_as_complex((x * 1).reshape(3, 2, 2))
    c.real.mul_(2)
    return (c * c).real.sum()


def program_43(torch, x, w):
    c = torch.complex(x * 1, w * 1)
    c.imag.mul_(x)
    return (c * c.conj()).real.sum()


def program_44(torch, x, w):
    y = x * 1
    y.take(torch.tensor([1, 1, 5]))
    return (y.take(torch.tensor([1, 1, 5])) * w[0, :3]).sum()


def program_45(torch, x, w):
    return (x.gather(1, torch.tensor([[0, 0], [1, 1], [2, 2]])) * w[:, :2]).sum()


def program_46(torch, x, w):
    return torch.nn.functional.pad(x[None], (2, 1), mode="reflect").pow(2).mul(torch.arange(7.0)).sum()


def program_47(torch, x, w):
    y = x * 1
    y.masked_scatter_(w > 0, w)
    return (y * y).sum()


def program_48(torch, x, w):
    y = x * 1
    y.put_(torch.tensor([1, 3]), w[0, :2])
    return (y * y).sum()


def program_49(torch, x, w):
    y = x * 1
    y.tril_()
    y.triu_(-1)
    return (y * y).sum()


PROGRAMS = [value for name, value in list(globals().items()) if name.startswith("program_")]


def run(library, program):
    """The result, first and second derivatives, and what backward() leaves; or the class of the error."""
    x, w = (library.tensor(each, requires_grad=True) for each in VALUES)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            out = program(library, x, w)
            first = library.autograd.grad(out, [x, w], create_graph=True, allow_unused=True)
            norm = sum((each * each).sum() for each in first if each is not None)
            second = (
                library.autograd.grad(norm, [x, w], allow_unused=True, retain_graph=True)
                if norm.requires_grad
                else ()
            )
            out.backward()
        except RuntimeError:
            return "refused"
    return [out, *first, *second, x.grad, w.grad]


def values(each):
    """An array; no gradient is as good as one of zeros."""
    return 0.0 if each is None else each.detach().numpy()


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda each: each.__name__)
def test_gradients_as_pytorch(program):
    theirs, ours = run(torch, program), run(flambeau, program)
    assert (theirs == "refused") == (ours == "refused")
    if theirs != "refused":
        assert len(theirs) == len(ours)
        for have, wanted in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(
                values(have) + np.zeros((3, 4)), values(wanted) + np.zeros((3, 4)), rtol=1e-3, atol=1e-3
            )


def test_a_view_keeps_its_base():
    x = flambeau.zeros(2, 3)
    view = x.view(-1)[1:4]
    assert view._base is x
    view[0] = 7
    assert x[0, 1].item() == 7
    assert x._version == view._version == 1


def test_views_made_together_refuse_changes():
    x = flambeau.ones(4, requires_grad=True) * 1
    first, _ = x.split(2)
    with pytest.raises(RuntimeError, match="is a view and is being modified inplace"):
        first.mul_(2)
    with pytest.raises(RuntimeError, match="is a view and is being modified inplace"):
        first[0].mul_(2)
