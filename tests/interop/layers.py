"""Checks operations, losses, layer norm, group norm and the GRU, and their gradients, against PyTorch's.

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
    "gelu": lambda x: F.gelu(x),
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": lambda x: F.silu(x),
    "sum": lambda x: x.sum(1),
    "mean": lambda x: x.mean((0, 2), keepdim=True),
    "matmul": lambda a, b: a @ b.mT,
    "softmax": lambda x: x.softmax(-1),
    "softmax_causal": lambda x: masked(x).softmax(-1),
    "concat": lambda a, b: torch.cat([a, b], 1),
    "slice": lambda x: x[:, 1:4],
    "permute": lambda x: x.permute(2, 0, 1),
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
    "gru": gru,
}


def of_case(content, case, kind):
    prefix = f"{case}.{kind}."
    return {name.removeprefix(prefix): value for name, value in content.items() if name.startswith(prefix)}


def worst(found, expected):
    return ((found - expected).abs().max() / expected.abs().max()).item()


def check(content, case):
    operands, gradients = of_case(content, case, "in"), of_case(content, case, "grad")
    weights = operands.pop("weights")
    for name in gradients:
        operands[name].requires_grad_()
    name, _, reduction = case.rpartition("_") if case.endswith(("_mean", "_samples")) else (case, "", "")
    options = {"samples": reduction == "samples"} if reduction else {}
    y = OPERATIONS[name](**operands, **options)
    (y * weights).sum().backward()
    differences = {"y": worst(of_case(content, case, "out")["y"], y.detach())}
    for name, gradient in gradients.items():
        differences[name] = worst(gradient, operands[name].grad)
    # Sums of some ten terms in double, through the six steps of a GRU.
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
