"""Checks what the enwik8 example exports against PyTorch: the saved tensors are the state dicts of torch.nn.Embedding,
LSTM and Linear, these compute the logits that lpw computes, and score a text as the run's summary says.

  language_model.py ENWIK8 PROGRAM   PROGRAM is made from language_model.cpp

Exits with 0 where everything agrees, 1 where not, 77 where a module is missing.
"""

import json
import math
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

HIDDEN, LAYERS, EMBEDDING = 24, 2, 10
TEXT = b"".join(b"%d late-phase weights of %d members are averaged\n" % (i % 97, i % 7) for i in range(200))
RUN = [
    "--hidden",
    str(HIDDEN),
    "--layers",
    str(LAYERS),
    "--embedding",
    str(EMBEDDING),
    "--bptt",
    "25",
    "--batch",
    "3",
    "--members",
    "3",
    "--epochs",
    "4",
    "--release-epoch",
    "2",
    "--sigma",
    "0.1",
    "--lr",
    "0.003",
    "--threads",
    "1",
]


def check(condition, message):
    if not condition:
        sys.exit(f"language_model: {message}")


def torch_network(model):
    """The three modules with the saved weights, which must be theirs and no others."""
    network = torch.nn.ModuleDict(
        {
            "embedding": torch.nn.Embedding(256, EMBEDDING),
            "lstm": torch.nn.LSTM(EMBEDDING, HIDDEN, LAYERS),
            "head": torch.nn.Linear(HIDDEN, 256),
        }
    )
    network.load_state_dict(model, strict=True)

    def logits(symbols):  # [T, B]
        return network["head"](network["lstm"](network["embedding"](symbols.long()))[0])

    return logits


def check_logits(logits, program, folder):
    subprocess.run(
        [program, folder / "model.safetensors", folder / "logits", str(HIDDEN), str(LAYERS), str(EMBEDDING)], check=True
    )
    written = load_file(folder / "logits")
    difference = (logits(written["bytes"]) - written["logits"]).abs().max().item()
    largest = written["logits"].abs().max().item()
    check(written["logits"].std() > 0.1, "the logits tell nothing")
    # float32 rounds sums over at most 24 products, in each of 40 steps of 2 layers, of logits below 10.
    check(difference < 1e-5, f"logits of up to {largest:.1f} differ by {difference}")
    print(f"logits of {tuple(written['logits'].shape)}, up to {largest:.1f}, differ by {difference:.1e} at most")


def check_score(logits, summary):
    """The test text is the last 5 per cent, one stream long."""
    text = torch.tensor(list(TEXT[int(len(TEXT) * 0.95) :]))
    bits = torch.nn.functional.cross_entropy(logits(text[:-1, None])[:, 0], text[1:]).item() / math.log(2)
    check(
        abs(bits - summary["test_bpc_collapsed"]) < 1e-5,
        f"{bits} bits per character in PyTorch, {summary['test_bpc_collapsed']} in lpw",
    )
    check(bits < 4, f"{bits} bits per character: nothing was learned")


@torch.no_grad()
def main(enwik8, program):
    with tempfile.TemporaryDirectory(prefix="lpw-") as name:
        folder = pathlib.Path(name)
        (folder / "text").write_bytes(TEXT)
        for late in ["rank1", "rank1,head"]:  # factors on every matrix; and the head as a whole
            run = folder / late
            subprocess.run(
                [enwik8, *RUN, "--late", late, "--data", folder / "text", "--out", run],
                check=True,
                stdout=subprocess.DEVNULL,
            )
            logits = torch_network(load_file(run / "model.safetensors"))
            check_logits(logits, program, run)
            check_score(logits, json.loads((run / "summary.json").read_text()))


if __name__ == "__main__":
    main(*sys.argv[1:])
