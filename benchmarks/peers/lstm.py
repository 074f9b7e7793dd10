#!/usr/bin/env python3
"""A training step of a byte-level LSTM in PyTorch, K members one after another, their rank-1 factors on the LSTM's
matrices or, as a bound on what factors cost, none: forward, backward and Adam."""

import torch
from torch import nn
from torch.nn import functional

import measure

VARIANTS = [kind + form for kind in ("loop", "plain") for form in ("", "-compile", "-graph")]
MATRICES = ["weight_ih_l0", "weight_hh_l0"]


class ByteLstm(nn.Module):
    def __init__(self, members, hidden, embedding, rank_one):
        super().__init__()
        self.embedding = nn.Embedding(256, embedding)
        self.lstm = nn.LSTM(embedding, hidden)
        self.head = nn.Linear(hidden, 256)
        self.rank_one = rank_one
        self.factors = nn.ParameterList(
            nn.Parameter(torch.ones(members, size))
            for name in MATRICES
            if rank_one
            for size in getattr(self.lstm, name).shape
        )

    def forward(self, text, member):
        x = self.embedding(text)  # [window, batch, embedding]
        if not self.rank_one:
            return self.head(self.lstm(x)[0])
        weights = {}
        for i, name in enumerate(MATRICES):
            row, column = self.factors[2 * i][member], self.factors[2 * i + 1][member]
            weights[name] = getattr(self.lstm, name) * row[:, None] * column
        return self.head(torch.func.functional_call(self.lstm, weights, (x,))[0])


def training_step(options, variant):
    """A function that does one iteration of Algorithm 1 on text made here."""
    network = ByteLstm(options.members, options.hidden, options.embedding, not variant.startswith("plain")).to(
        options.device
    )
    forward = measure.compiled(network, options) if variant.endswith("compile") else network
    on_gpu = options.device == "cuda"
    optimizer = torch.optim.Adam(network.parameters(), 1e-3, fused=on_gpu, capturable=on_gpu)
    text = torch.randint(0, 256, (options.members, options.window + 1, options.batch), device=options.device)

    def step():
        optimizer.zero_grad()
        for k in range(options.members):
            with measure.autocast(options):
                logits = forward(text[k, :-1], k)
                loss = functional.cross_entropy(logits.flatten(0, 1), text[k, 1:].flatten())
            loss.backward()
        optimizer.step()

    return measure.graphed(step) if variant.endswith("graph") else step


def main():
    parser = measure.parser(__doc__)
    parser.add_argument("--hidden", type=int, default=500)
    parser.add_argument("--embedding", type=int, default=128)
    parser.add_argument("--window", type=int, default=100)
    parser.add_argument("--batch", type=int, default=20, help="sequences per member")
    parser.add_argument(
        "--variants",
        type=measure.list_of(*VARIANTS),
        default=["loop", "plain"],
        help=f"of {', '.join(VARIANTS)}; graph: on a GPU",
    )
    options = parser.parse_args()
    measure.prepare(options)
    report = measure.Report(options)
    for variant in options.variants:
        for run in report.combinations():
            report.measure(run, "lstm", variant, training_step)
    return report.status()


if __name__ == "__main__":
    raise SystemExit(main())
