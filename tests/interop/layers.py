"""Checks operations, losses, norms and recurrent layers, and their gradients, against PyTorch's, member after member.

  layers.py PROGRAM   PROGRAM is made from layers.cpp

Exits with 0 where everything agrees, 1 where not, 77 where a module is missing.
"""

import pathlib
import subprocess
import sys
import tempfile

try:
    import torch
    import torch.nn.functional as F
    from safetensors.torch import load_file
except ImportError as error:
    print(f"SKIPPED: {error}; scripts/interop.sh installs it and runs this test")
    sys.exit(77)


def elements(loss, samples):
    """The mean over a sample's elements, or over all."""
    return loss.mean(1) if samples else loss.mean()


def divergence(p, q, samples):
    losses = F.kl_div(q.log_softmax(1), p.log_softmax(1), reduction="none", log_target=True).sum(1)
    return losses if samples else losses.mean()


def cross_entropy(x, t, w, samples):
    reduction = "none" if samples else "mean"
    target = t.long() if t.ndim == 1 else t
    return F.cross_entropy(x, target, w, label_smoothing=0.1, reduction=reduction)


def group_norm(x, gamma, beta):
    """Of images [B, H, W, C]."""
    return F.group_norm(x.permute(0, 3, 1, 2), 3, gamma, beta).permute(0, 2, 3, 1)


def gru(x, h, weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0):
    """What torch.nn.GRU calls with its parameters."""
    parameters = [weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0]
    return torch.gru(x, h[None], parameters, True, 1, 0.0, False, False, False)[0]


def lstm(x, h, c, weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0):
    """What torch.nn.LSTM calls."""
    parameters = [weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0]
    return torch.lstm(x, (h[None], c[None]), parameters, True, 1, 0.0, False, False, False)[0]


def batch_norm(x, gamma, beta):
    return F.batch_norm(x, None, None, gamma, beta, True)


def masked(scores):
    """Scores [..., M, N] of which row i has columns 0 to i."""
    behind = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
    return scores.masked_fill(behind, float("-inf"))


def attention(q, k, v):
    """PyTorch's, which it has since 2.0; before that, the formula of its documents."""
    if hasattr(F, "scaled_dot_product_attention"):
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)
    return masked(q @ k.mT / q.shape[-1] ** 0.5).softmax(-1) @ v


OPERATIONS = {
    **{
        name + of_b: lambda x, b, function=getattr(torch, name): function(x, b)
        for name in ("add", "sub", "mul", "div")
        for of_b in ("", "_rows", "_kept")
    },
    **{
        name: lambda x, function=getattr(torch, name): function(x) for name in ("exp", "log", "sqrt", "sigmoid", "tanh")
    },
    "affine": lambda x: 2 * x - 0.5,
    "add_row": lambda x, b: x + b,
    "scale_channels": lambda x, b: x * b,
    "add_channels": lambda x, b: x + b,
    "reciprocal": lambda x: 1 / x,
    "relu": lambda x: F.relu(x),
    "gelu": lambda x: F.gelu(x),
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": lambda x: F.silu(x),
    "sum": lambda x: x.sum(1),
    "mean": lambda x: x.mean((0, 2), keepdim=True),
    "matmul": lambda a, b: a @ b.mT,
    "matmul_shared": lambda a, b: a.mT @ b,
    "log_softmax": lambda x: x.log_softmax(-1),
    "softmax": lambda x: x.softmax(-1),
    "softmax_causal": lambda x: masked(x).softmax(-1),
    "concat": lambda a, b: torch.cat([a, b], 1),
    "slice": lambda x: x[:, 1:4],
    "split": lambda x: torch.cat(x.split([1, 4], 1)[::-1], 1),
    "permute": lambda x: x.permute(2, 0, 1),
    "transpose": lambda x: x.transpose(0, 2),
    "reshape": lambda x: x.reshape(4, -1),
    "repeat_members": lambda x: x,
    "sample_mean": lambda x, w: (x * w).sum() / w.sum(),
    "attention": attention,
    "mse": lambda x, t, samples: elements((x - t) ** 2, samples),
    "l1": lambda x, t, samples: elements((x - t).abs(), samples),
    "bce": lambda x, t, w, samples: elements(
        F.binary_cross_entropy_with_logits(x, t, pos_weight=w, reduction="none"), samples
    ),
    "kl": lambda p, q, samples: divergence(p, q, samples),
    "labels": cross_entropy,
    "probabilities": cross_entropy,
    "layer_norm": lambda x, gamma, beta: F.layer_norm(x, x.shape[-1:], gamma, beta),
    "group_norm": group_norm,
    "batch_norm": batch_norm,
    "batch_norm_add": lambda x, gamma, beta, residual: F.relu(batch_norm(x, gamma, beta) + residual),
    "batch_norm_evaluation": lambda x, gamma, beta, mean, variance: F.batch_norm(x, mean, variance, gamma, beta),
    "linear": F.linear,
    "linear_own": F.linear,
    "linear_factors": lambda x, weight, r, s, bias: F.linear(x, torch.outer(r, s) * weight, bias),
    "embedding": lambda weight, indices: F.embedding(indices.long(), weight),
    "embedding_own": lambda weight, indices: F.embedding(indices.long(), weight),
    "global_average_pool": lambda x: x.mean((1, 2)),
    "gru": gru,
    "lstm": lstm,
}


def of_case(content, case, kind):
    prefix = f"{case}.{kind}."
    return {name.removeprefix(prefix): value for name, value in content.items() if name.startswith(prefix)}


def worst(found, expected):
    if found.shape != expected.shape:
        return float("inf")
    return ((found - expected).abs().max() / expected.abs().max()).item()


def of_members(operands, count):
    """The operands of each member, of which some are shared."""
    return [{name: value[k % value.shape[0]] for name, value in operands.items()} for k in range(count)]


def check(content, case):
    operands, gradients = of_case(content, case, "in"), of_case(content, case, "grad")
    weights = operands.pop("weights")
    for name in gradients:
        operands[name].requires_grad_()
    name, _, reduction = case.rpartition("_") if case not in OPERATIONS else (case, "", "")
    options = {"samples": reduction == "samples"} if reduction else {}
    y = torch.stack([OPERATIONS[name](**own, **options) for own in of_members(operands, len(weights))])
    (y * weights).sum().backward()
    differences = {"y": worst(of_case(content, case, "out")["y"], y.detach())}
    for name, gradient in gradients.items():
        differences[name] = worst(gradient, operands[name].grad)
    # Sums of some ten terms in double, through the six steps of a recurrent layer.
    bad = {name: size for name, size in differences.items() if not size < 1e-13}
    if bad:
        sys.exit(f"layers: {case} differs from PyTorch's, relative to the largest element, by {bad}")
    print(f"{case}: differs by {max(differences.values()):.1e} at most")


def main(program):
    with tempfile.TemporaryDirectory(prefix="lpw-") as name:
        file = pathlib.Path(name) / "layers.safetensors"
        subprocess.run([program, file], check=True)
        content = load_file(file)
    for case in sorted({name.split(".")[0] for name in content}):
        check(content, case)


if __name__ == "__main__":
    main(*sys.argv[1:])
