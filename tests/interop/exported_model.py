"""Checks what the cifar example exports against what other programs expect: names and shapes as in PyTorch, the values
of the checkpoint, and the scores that a plain network written in numpy, in float64, reaches with them.

  exported_model.py CIFAR

Exits with 0 where everything agrees, 1 where not, 77 where a module is missing.
"""

import json
import pathlib
import struct
import subprocess
import sys
import tempfile

try:
    import numpy as np
    from safetensors.numpy import load_file
except ImportError as error:
    print(f"SKIPPED: {error}; scripts/interop.sh installs it and runs this test")
    sys.exit(77)

TEST_IMAGES = 40
RUN = f"--model wrn-10-1 --train-subset 200 --test-subset {TEST_IMAGES} --batch 20 --epochs 3 --threads 1".split()
GROUPS = {"layer1.0": (16, 16), "layer2.0": (16, 32), "layer3.0": (32, 64)}  # channels in and out of WRN-10-1's blocks


def architecture():
    """Name -> shape of WRN-10-1's parameters in PyTorch, in the order of its modules, and of its running statistics."""
    parameters, statistics = {}, {}

    def batch_norm(name, channels):
        parameters.update({f"{name}.weight": (channels,), f"{name}.bias": (channels,)})
        statistics.update({f"{name}.running_mean": (channels,), f"{name}.running_var": (channels,)})

    parameters["conv1.weight"] = (16, 3, 3, 3)
    for block, (inputs, outputs) in GROUPS.items():
        batch_norm(f"{block}.bn1", inputs)
        parameters[f"{block}.conv1.weight"] = (outputs, inputs, 3, 3)
        batch_norm(f"{block}.bn2", outputs)
        parameters[f"{block}.conv2.weight"] = (outputs, outputs, 3, 3)
        if inputs != outputs:
            parameters[f"{block}.shortcut.weight"] = (outputs, inputs, 1, 1)
    batch_norm("bn", 64)
    parameters.update({"fc.weight": (10, 64), "fc.bias": (10,)})
    return parameters, statistics


def write_cifar10(folder):
    """Files in CIFAR-10's format: a picture of 8 x 8 tiles for each class, with noise. Returns the training set's mean
    and deviation per channel, the first test images and labels."""
    folder.mkdir()
    random = np.random.default_rng(1)
    tiles = random.integers(0, 128, (10, 3, 8, 8), dtype=np.uint8).repeat(4, axis=2).repeat(4, axis=3).reshape(10, 3072)
    records = {}
    for name in [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]:
        records[name] = random.integers(0, 128, (10000, 3073), dtype=np.uint8)
        records[name][:, 0] = labels = np.arange(10000) % 10  # the first images are then a balanced subset
        records[name][:, 1:] += tiles[labels]
        (folder / f"{name}.bin").write_bytes(records[name].tobytes())
    test = records.pop("test_batch")[:TEST_IMAGES]
    counts = sum(
        np.stack([np.bincount(r[:, 1 + 1024 * c : 1025 + 1024 * c].ravel(), minlength=256) for c in range(3)])
        for r in records.values()
    )
    values, shares = np.arange(256) / 255, counts / counts.sum(axis=1, keepdims=True)
    mean = shares @ values
    deviation = np.sqrt(shares @ values**2 - mean**2)
    return mean, deviation, test[:, 1:].reshape(-1, 3, 32, 32) / 255, test[:, 0]


def convolution(x, weight, stride=1):
    """x [N, I, H, W] with zeros around, weight [O, I, k, k] -> [N, O, H / stride, W / stride]."""
    side, size = weight.shape[-1], x.shape[-1]
    x = np.pad(x, ((0, 0), (0, 0), (side // 2,) * 2, (side // 2,) * 2))
    return sum(
        np.einsum("nihw,oi->nohw", x[:, :, i : i + size : stride, j : j + size : stride], weight[:, :, i, j])
        for i in range(side)
        for j in range(side)
    )


def batch_norm_relu(x, model, name):
    weight, bias, mean, variance = (
        model[f"{name}.{part}"][:, None, None] for part in ["weight", "bias", "running_mean", "running_var"]
    )
    return np.maximum((x - mean) / np.sqrt(variance + 1e-5) * weight + bias, 0)


def forward(model, images):
    """Logits [N, 10] of a pre-activation wide residual network in evaluation mode."""
    model = {name: value.astype(np.float64) for name, value in model.items()}
    x = convolution(images, model["conv1.weight"])
    for block, (inputs, outputs) in GROUPS.items():
        stride = 1 if inputs == outputs else 2
        a = batch_norm_relu(x, model, f"{block}.bn1")
        h = convolution(a, model[f"{block}.conv1.weight"], stride)
        h = convolution(batch_norm_relu(h, model, f"{block}.bn2"), model[f"{block}.conv2.weight"])
        x = h + (x if stride == 1 else convolution(a, model[f"{block}.shortcut.weight"], stride))
    return batch_norm_relu(x, model, "bn").mean(axis=(2, 3)) @ model["fc.weight"].T + model["fc.bias"]


def check(condition, message):
    if not condition:
        sys.exit(f"exported_model: {message}")


def check_values(model, checkpoint):
    """Of a run without release: the stores of the checkpoint, in the modules' order, convolutions channels last, bit
    for bit."""
    content = checkpoint.read_bytes()
    (length,) = struct.unpack_from("<Q", content, 8)
    directory, payload = json.loads(content[16 : 16 + length])["tensors"], content[16 + length + 4 :]
    for store, shapes in zip(["weights.base", "buffers"], architecture()):
        first, last = directory[store]["data_offsets"]
        values = np.frombuffer(payload[first:last], np.float32)
        check(values.size == sum(int(np.prod(shape)) for shape in shapes.values()), f"{store} has {values.size} values")
        for name, shape in shapes.items():
            part, values = np.split(values, [int(np.prod(shape))])
            if len(shape) == 4:
                part = part.reshape(shape[0], *shape[2:], shape[1]).transpose(0, 3, 1, 2)
            check(np.array_equal(model[name], part.reshape(shape)), f"{name}: other values than in the checkpoint")


def scores(model, data):
    """Mean negative log-likelihood and accuracy on the test images."""
    mean, deviation, images, labels = data
    logits = forward(model, (images - mean[:, None, None]) / deviation[:, None, None])
    logits -= logits.max(axis=1, keepdims=True)
    nll = np.mean(np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(TEST_IMAGES), labels])
    return nll, np.mean(logits.argmax(axis=1) == labels)


def check_scores(model, summary, data):
    nll, accuracy = scores(model, data)
    # float32 rounds each of the sums over up to 576 products by some 1e-6 of
    # its size, and there are eight layers of them.
    check(
        abs(nll - summary["test_nll_collapsed"]) < 1e-4 * nll,
        f"nll {nll} in numpy, {summary['test_nll_collapsed']} in lpw",
    )
    check(
        accuracy == summary["test_accuracy_collapsed"],
        f"accuracy {accuracy} in numpy, {summary['test_accuracy_collapsed']} in lpw",
    )
    turned, _ = scores(
        {name: value.swapaxes(2, 3) if value.ndim == 4 else value for name, value in model.items()}, data
    )
    check(
        abs(turned - nll) > 1e-3 * nll,
        f"with height for width in all kernels nll is {turned}: these images tell nothing",
    )
    print(f"nll {nll:.6f} in numpy, {summary['test_nll_collapsed']:.6f} in lpw; accuracy {accuracy}")


def main(program):
    with tempfile.TemporaryDirectory(prefix="lpw-") as name:
        folder = pathlib.Path(name)
        data = write_cifar10(folder / "cifar-10-batches-bin")
        for out, arguments in {
            "plain": ["--members", "1"],
            "collapsed": ["--members", "2", "--release-epoch", "1"],
            "templates": ["--model", "hyper-wrn-10-1", "--late", "templates", "--members", "2", "--release-epoch", "1"],
        }.items():
            subprocess.run(
                [program, *RUN, *arguments, "--data", name, "--out", str(folder / out)],
                check=True,
                stdout=subprocess.DEVNULL,
            )
            model = load_file(folder / out / "model.safetensors")
            shapes = {name: shape for part in architecture() for name, shape in part.items()}
            found = {name: value.shape for name, value in model.items()}
            check(found == shapes, f"tensors {found}, expected {shapes}")
            check(all(value.dtype == np.float32 for value in model.values()), "a tensor is not of float32")
            check_scores(model, json.loads((folder / out / "summary.json").read_text()), data)
            if out == "plain":
                check_values(model, folder / out / "checkpoint.lpw")


if __name__ == "__main__":
    main(*sys.argv[1:])
