"""Checks lpw's sharpness-aware minimisation against a plain PyTorch loop, with the same weights and minibatches.

  sam.py PROGRAM   PROGRAM is made from sam.cpp

Exits with 0 where everything agrees, 1 where not, 77 where a module is missing.
"""

import pathlib
import subprocess
import sys
import tempfile

try:
    import torch
    from safetensors.torch import load_file
except ImportError as error:
    print(f"SKIPPED: {error}; scripts/interop.sh installs it and runs this test")
    sys.exit(77)

SGD = (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-2})
ADAMW = (torch.optim.AdamW, {"lr": 0.01, "eps": 1e-3, "weight_decay": 0.1})
# Of each variant: the optimizer, rho, and eta where it is adaptive.
VARIANTS = {
    "sgd": (SGD, 0, None),
    "sam_sgd": (SGD, 0.2, None),
    "asam_sgd": (SGD, 1.0, 0.05),
    "sam_adamw": (ADAMW, 0.2, None),
}


def sam_step(network, optimizer, loss, rho, eta):
    """As Foret et al. 2021 have it, and adaptive as Kwon et al. 2021, with |w| + eta for all weights."""
    loss().backward()
    with torch.no_grad():
        metric = [torch.ones_like(w) if eta is None else w.abs() + eta for w in network.parameters()]
        norm = torch.cat([(t * w.grad).flatten() for t, w in zip(metric, network.parameters())]).norm()
        kept = [w.clone() for w in network.parameters()]
        for t, w in zip(metric, network.parameters()):
            w += rho * t**2 * w.grad / norm
    optimizer.zero_grad()
    loss().backward()
    with torch.no_grad():
        for before, w in zip(kept, network.parameters()):
            w.copy_(before)
    optimizer.step()
    optimizer.zero_grad()


def trained(content, optimizer, rho, eta):
    """The weights after all minibatches."""
    start = {name.removeprefix("start."): value for name, value in content.items() if name.startswith("start.")}
    network = torch.nn.ModuleDict(
        {
            layer: torch.nn.Linear(*reversed(start[f"{layer}.weight"].shape), dtype=torch.float64)
            for layer in ("hidden", "head")
        }
    )
    network.load_state_dict(start, strict=True)
    make, options = optimizer
    optimizer = make(network.parameters(), **options)
    for inputs, labels in zip(content["inputs"], content["labels"]):

        def loss():
            logits = network["head"](torch.relu(network["hidden"](inputs)))
            return torch.nn.functional.cross_entropy(logits, labels.long())

        sam_step(network, optimizer, loss, rho, eta)
    return network.state_dict()


def main(program):
    with tempfile.TemporaryDirectory(prefix="lpw-") as folder:
        file = pathlib.Path(folder) / "trajectories"
        subprocess.run([program, file], check=True)
        content = load_file(file)
    plain = trained(content, SGD, 0, None)
    for variant, (optimizer, rho, eta) in VARIANTS.items():
        expected = trained(content, optimizer, rho, eta)
        far = max((expected[name] - plain[name]).abs().max().item() for name in plain)
        worst = max((content[f"{variant}.{name}"] - value).abs().max().item() for name, value in expected.items())
        # Twenty steps of some hundred roundings each of doubles around 1, which training passes on.
        if not worst < 1e-11:
            sys.exit(f"sam: the weights of {variant} differ by {worst}")
        if rho and not far > 1e-3:
            sys.exit(f"sam: {variant} is no other training than SGD's")
        print(f"{variant}: weights differ by {worst:.1e} at most")


if __name__ == "__main__":
    main(*sys.argv[1:])
