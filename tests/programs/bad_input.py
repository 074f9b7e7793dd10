"""Usage: bad_input.py CIFAR [TEST]...
Whatever is wrong with options, files or disk: one line on stderr that says so, an exit code, and nothing that was saved
is lost."""

import array
import json
import math
import os
import random
import resource
import struct
import subprocess
import sys

from trainer import (
    PROGRAM,
    TINY,
    check,
    check_same,
    checkpoint_tensor,
    contents,
    main,
    refused,
    results,
    run,
    start,
    train,
    without_threads,
)

random.seed(20210503)


def spoilt(content, path):
    """Writes variants of a file's content, each damaged elsewhere; yields what was done."""
    size = len(content)
    for length in [0, 1, 7, 8, 9, 15, 16, 17, size // 3, size - 5, size - 1]:
        path.write_bytes(content[:length])
        yield f"{length} of {size} bytes"
    for place in [0, 8, 9, 15, 20, size - 1] + [random.randrange(size) for _ in range(8)]:
        bit = 1 << random.randrange(8)
        path.write_bytes(content[:place] + bytes([content[place] ^ bit]) + content[place + 1 :])
        yield f"bit {bit} of byte {place} flipped"
    path.write_bytes(content + b"\0")
    yield "a byte too many"
    path.write_bytes(content + content)
    yield "twice its content"
    path.write_bytes(os.urandom(1000))
    yield "noise"


def options(folder):
    out = ["--out", folder / "out"]
    for arguments, says in [
        (["--members", 0], ["--members", "from 1 to 1000000000000"]),
        (["--release-epoch", -1], ["--release-epoch", "from 0 to"]),
        (["--epochs", "many"], ["--epochs", "whole number from 1 to 1000000000000", "many"]),
        (["--epochs", 2.5], ["--epochs", "whole number", "2.5"]),
        (["--data", ""], ["--data", "found nothing"]),
        (["--model", "resnet51"], ["--model resnet51", "wrn-DEPTH-WIDEN", "resnet50"]),
        (["--model", "wrn-11-1"], ["depth 11", "6n + 4"]),
        (["--model", "hyper-28-10"], ["--model hyper-28-10", "hyper-wrn-DEPTH-WIDEN"]),
        (["--model", "hyper-wrn-10-1"], ["--late batchnorm,head", "no head to release", "made of templates"]),
        (["--late", "templates"], ["--late templates", "no weights made of templates"]),
        (["--schedule", "foo"], ["foo", "anneal:START:END:FINAL"]),
        (["--schedule", "anneal:5:1:0.1"], "0 <= START < END"),
        (["--schedule", "steps:1"], 'schedule "steps:1": expected steps:a,b,...:gamma\n'),
        (["--schedule", "steps:1,x:0.1"], '"x" is not a number'),
        (["--schedule", "steps:-5:0.1"], "milestone -5 is negative"),
        (["--schedule", "anneal:1:2:1e300"], "FINAL from 0 to 1e+12"),
        (["--schedule", "steps:1,2:1e7"], "learning rate of 1e+13"),
        (["--late-schedule", "anneal:1:2"], "anneal:1:2"),
        (["--members", 3, "--member-chunk", 4], ["--member-chunk 4", "from 0 to the 3 members"]),
        (["--label-smoothing", 2], ["--label-smoothing", "found 2"]),
        (["--lr", "nan"], ["--lr", "found nan"]),
        (["--lr", 0], ["--lr", "above 0"]),
        (["--late-lr", -0.5], ["--late-lr", "or -1"]),
        (["--sigma", "inf"], "--sigma"),
        (["--momentum", 1], "--momentum"),
        (["--dataset", "cifar100"], ["cifar100", "--data DIR"]),
        (["--dataset", "mnist"], ["--dataset", "cifar100"]),
        (
            ["--late", "foo"],
            [
                "--late foo",
                "no parameter 'foo'",
                "batchnorm, layernorm, groupnorm, head, rank1, templates, own:NUMBER, all, additive",
            ],
        ),
        (["--late", "all,additive:bn.*"], ["--late all,additive:bn.*", "leave nothing to additive:bn.*"]),
        (["--late", "additive:bn.weigth"], ["no parameter 'bn.weigth'", "close to it: 'bn.weight'"]),
        (["--late", "head,bn.weigth"], ["no parameter 'bn.weigth'", "close to it: 'bn.weight'"]),
        (["--late", ""], "--late"),
        (["--late", "batchnorm,batchnorm"], "names batchnorm twice"),
        (["--late", "all,head"], ["--late all,head", "leave nothing to head"]),
        (["--late", "head,fc.*"], ["--late head,fc.*", "leave nothing to fc.*"]),
        (["--late", "all,rank1"], "leave nothing to rank1"),
        (["--freeze", "conv1.weight,conv1.weight"], "--freeze: names conv1.weight twice"),
        (["--freeze", "conv1.*,conv1.weight"], ["--freeze", "other names there have all parameters 'conv1.weight'"]),
        (["--group", "fc.*,fc.bias:lr=0.1"], ["--group", "other names there have all parameters 'fc.bias'"]),
        (
            ["--group", "conv1.*:lr=0.1", "--group", "conv1.weight:lr=0.2"],
            ["--group conv1.weight", "groups before it have all these parameters"],
        ),
        (["--freeze", "fc.*", "--group", "fc.bias:lr=0.2"], ["--group fc.bias", "--freeze or groups before it"]),
        (["--schedule", "steps:5,5:0.1"], "milestone 5 is there twice"),
        (["--release-epoch", 300, "--sigma", 0.1], ["--sigma does nothing", "no members are released"]),
        (["--release-epoch", 300, "--late-lr", 0.1], ["--late-lr does nothing", "no members are released"]),
        (["--statistics", "local"], ["--statistics does nothing", "one process"]),
        (["--sum-chunk", 5], ["--sum-chunk does nothing", "one process"]),
        (["--optimizer", "adam", "--momentum", 0.5], ["--momentum does nothing", "adam"]),
        (["--members", 1, "--sigma", 0.1], ["--sigma does nothing", "one member"]),
        (["--release-one"], ["--release-one does nothing", "several members"]),
        (["--members", 1, "--release-one", "--coupling", "pull:0.1"], ["--coupling does nothing", "without others"]),
        (["--late", "none", "--late-lr", 0.1], ["--late-lr does nothing", "no late-phase weights"]),
        (["--late", "none", "--member-chunk", 1], "--member-chunk does nothing"),
        (["--convert"], ["--convert does nothing", "--init or --eval"]),
        (["--eval-every", 0], ["--eval-every", "from 1 to"]),
        (["--deterministic=5x"], ["--deterministic", "true or false", "5x"]),
        (["--resume=3"], ["--resume", "true or false"]),
        (["--init", "--resume"], ["--init", "expected a name, found --resume"]),
        (["--model", "wrn\n10\x1b[31m-1"], ["--model wrn\\x0a10\\x1b[31m-1", "wrn-28-10"]),
        (["--average", "swa", "--average-start", 4], ["--average-start 4", "all 4 epochs"]),
        (["--average", "swa", "--average-start", 1, "--average-every", 4], ["--average-every 4", "--average-start 1"]),
        (["--average", "ema"], ["--average ema", "ema:DECAY"]),
        (["--average", "ema:1"], ["--average ema:1: ", "decay 1", "below 1"]),
        (["--average", "ema:0.9:x"], "--average ema:0.9:x"),
        (["--average", "lawa:0"], ["--average lawa:0: ", "at least 1"]),
        (["--average", "swa:3"], "--average swa:3"),
        (["--average-every", 2], ["--average-every does nothing", "no weights are averaged"]),
        (["--average", "swa", "--average-by", "days"], ["--average-by", "{epochs,steps}"]),
        (["--average", "swa", "--average-by", "steps", "--average-every", 1000], "--average-every 1000"),
        (["--coefficient-lr", 0.1], ["--coefficient-lr does nothing", "no weights are made of templates"]),
        (["--held-out", 20, "--best", "--serve", "ensemble"], ["--best leaves one plain", "--serve ensemble"]),
        (["--coupling", "pull:0.1", "--coupling-every", 99], ["--coupling-every 99", "members take 8 steps"]),
        (["--release-every", 3], ["--release-every 3", "only 2 epochs follow"]),
        (["--sam", 0.1, "--sam-start", 4], ["--sam-start 4", "fewer than the 4 epochs"]),
        (["--snapshots", 2], ["--snapshots 2", "--schedule has no cycles"]),
        (["--snapshots", 2, "--schedule", "cosine-cycles:9"], ["--snapshots 2", "no cycle", "4 epochs"]),
        (["--members", 301, "--release-epoch", 0], ["--members 301", "300 training samples", "--member-data"]),
        (["--train-subset", 1000000], "--train-subset 1000000"),
        (["--seed", -1], "--seed"),
        (["--no-such-option"], "--no-such-option"),
        (["stray"], "stray"),
        (["--epochs"], "--epochs"),
        (["--init", "missing.safetensors"], "missing.safetensors"),
        (["--device", "tpu"], ["--device", "cuda"]),
        (["--precision", "tf32"], ["--precision tf32", "--device cuda"]),
        (["--convolution", "fft"], ["--convolution", "direct"]),
        (["--eval", "missing.lpw", "--resume"], "leave out"),
    ]:
        refused(*TINY, *out, *arguments, says=says)
    refused("--resume", says="--out")
    for others in [[], ["--threads", 1], ["--checkpoint-minutes", 3, "--eval-every", 2]]:
        refused(
            "--resume",
            "--out",
            folder / "mistyped",
            *others,
            says=["mistyped", "no run in this folder", "options of the run"],
        )
    refused("--eval", "missing.lpw", says="missing.lpw")
    refused("--eval", folder, says="is not a regular file")
    refused("--eval", "", says=["--eval", "found nothing"])
    refused("--eval", "missing.lpw", "--dry-run", says=["leave out --dry-run"])
    # The folder is made when all that can be known before training is known
    # to be right, but for the file given to --init.
    check(contents(folder) == {}, f"files were left behind: {list(contents(folder))}")


def crc32c(content):
    """The checksum of checkpoints (Castagnoli), a bit at a time for the table and a byte at a time after."""
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    checksum = 0xFFFFFFFF
    for byte in content:
        checksum = table[(checksum ^ byte) & 255] ^ checksum >> 8
    return checksum ^ 0xFFFFFFFF


def write_other_engine(content, folder):
    """A whole checkpoint of the same run, by a program with another convolution engine. Returns that engine and the
    file."""
    (length,) = struct.unpack_from("<Q", content, 8)
    header = json.loads(content[16 : 16 + length])
    engine = {"oneDNN": "Eigen", "Eigen": "oneDNN"}[header["meta"]["options"]["engine"]]
    header["meta"]["options"]["engine"] = engine
    text = json.dumps(header).encode()
    text += b" " * ((4 - len(text)) % 8)
    changed = content[:8] + struct.pack("<Q", len(text)) + text
    changed += struct.pack("<I", crc32c(changed))
    changed += content[16 + length + 4 : -4]
    path = folder / "checkpoint.lpw"
    path.write_bytes(changed + struct.pack("<I", crc32c(changed)))
    return engine, path


def checkpoints(folder):
    train(folder / "run", *TINY)
    whole = contents(folder / "run")
    damaged = folder / "damaged.lpw"
    for what in spoilt(whole["checkpoint.lpw"], damaged):
        refused("--eval", damaged, says="damaged.lpw")
    refused(
        "--eval",
        folder / "run" / "checkpoint.lpw",
        "--lr",
        0.2,
        "--members",
        4,
        says=["lr was 0.1, now 0.2", "members was 3, now 4"],
    )
    refused(
        *TINY,
        "--init",
        folder / "run" / "checkpoint.lpw",
        "--out",
        folder / "init",
        says=["is a checkpoint", "model.safetensors"],
    )
    (folder / "other-engine").mkdir()
    engine, path = write_other_engine(whole["checkpoint.lpw"], folder / "other-engine")
    refused(*TINY, "--out", folder / "other-engine", "--resume", says=[str(path), "engine was", engine])
    for what in ["truncated", "damaged"]:
        content = whole["checkpoint.lpw"]
        middle = len(content) // 2
        content = (
            content[:middle]
            if what == "truncated"
            else content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        )
        (folder / "run" / "checkpoint.lpw").write_bytes(content)
        before = contents(folder / "run")
        refused(*TINY, "--out", folder / "run", "--resume", says=["checkpoint.lpw", what])
        check(contents(folder / "run") == before, f"resuming from a {what} checkpoint changed the run")
    (folder / "run" / "checkpoint.lpw").write_bytes(whole["checkpoint.lpw"])
    refused(
        "--out",
        folder / "run",
        "--resume",
        "--epochs",
        5,
        "--lr",
        0.2,
        says=['schedule was "anneal:2:3.6:0.001", now', "lr was 0.1, now 0.2"],
    )
    refused(*TINY, "--out", folder / "run", says=["holds a run already", "--resume", "--out"])
    for option, value in [("--serve", "ensemble"), ("--collapse", "parameters")]:
        says = [f'{option[2:]} was not set, now "{value}"', "evaluate the checkpoint, with --eval"]
        refused("--out", folder / "run", "--resume", option, value, says=says)
    check(contents(folder / "run") == whole, "refused runs changed the folder")
    (folder / "run" / "config.toml").write_text("epochs = four\n")
    refused("--out", folder / "run", "--resume", says=["config.toml:1: ", "mend the file, or remove it"])
    (folder / "run" / "config.toml").unlink()
    done = run(*TINY, "--out", folder / "run", "--resume")
    check(done.returncode == 0, f"the cure for a damaged config.toml does not help: {done.stderr}")
    check((folder / "run" / "config.toml").read_bytes() == whole["config.toml"], "config.toml is not what it was")
    (folder / "run" / "checkpoint.lpw").unlink()
    for resume in [[], ["--resume"]]:
        refused(*TINY, "--out", folder / "run", *resume, says=["checkpoint.lpw is gone", "--out"])


def widen(content):
    """A safetensors file of float32 in float64."""
    (length,) = struct.unpack_from("<Q", content)
    header, data, wide = json.loads(content[8 : 8 + length]), content[8 + length :], b""
    for name, tensor in header.items():
        if name != "__metadata__":
            first, last = tensor["data_offsets"]
            values = array.array("d", array.array("f", data[first:last])).tobytes()
            tensor.update(dtype="F64", data_offsets=[len(wide), len(wide) + len(values)])
            wide += values
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + wide


def models(folder):
    train(folder / "run", *TINY, "--epochs", 1)
    content = (folder / "run" / "model.safetensors").read_bytes()
    damaged = folder / "damaged.safetensors"
    for what in spoilt(content, damaged):
        done = run("--eval", damaged, "--test-subset", 10)
        if done.returncode != 0:  # the format has no checksum: a flipped bit of a weight is a weight
            refused("--eval", damaged, "--test-subset", 10)
        else:
            check("flipped" in what, f"{what} was taken for a whole model")
    damaged.write_bytes(content[:1000])
    refused(*TINY, "--init", damaged, "--out", folder / "init", says="damaged.safetensors")
    check(not (folder / "init").exists(), "a network that cannot be read leaves an empty run folder")
    (length,) = struct.unpack_from("<Q", content)
    for value in [math.nan, math.inf]:
        damaged.write_bytes(content[: 8 + length] + struct.pack("<f", value) + content[12 + length :])
        for arguments in [
            ["--eval", damaged, "--test-subset", 10],
            [*TINY, "--init", damaged, "--out", folder / "init"],
        ]:
            refused(*arguments, says=["damaged.safetensors: tensor '", f"holds {value} at element 0"])
    refused(
        *TINY,
        "--init",
        folder / "run" / "model.safetensors",
        "--model",
        "wrn-10-2",
        "--out",
        folder / "init",
        says="model.safetensors",
    )
    refused("--eval", folder / "run" / "model.safetensors", "--data", folder, says="--data")
    refused("--eval", folder / "run" / "model.safetensors", "--lr", 3, says=["--lr does nothing", "nothing is trained"])
    for option, value in [
        ("--label-smoothing", 0.1),
        ("--cutout", 8),
        ("--augment", "none"),
        ("--eval-every", 2),
        ("--checkpoint-minutes", 5),
    ]:
        refused(
            "--eval",
            folder / "run" / "model.safetensors",
            option,
            value,
            says=[f"{option} does nothing", "nothing is trained"],
        )
    refused("--eval", folder / "run" / "checkpoint.lpw", "--eval-every", 2, says="--eval-every does nothing")
    refused("--eval", folder / "run" / "checkpoint.lpw", "--convert", says="--convert does nothing")
    wide = folder / "wide.safetensors"
    wide.write_bytes(widen(content))
    refused("--eval", wide, "--test-subset", 10, says=["wide.safetensors", "F64", "expected F32", "(convert)"])
    narrow, converted = (
        run("--eval", file, "--convert", "--test-subset", 10) for file in [folder / "run" / "model.safetensors", wide]
    )
    check(
        converted.returncode == 0 and converted.stdout == narrow.stdout,
        f"--convert: {converted.stdout}{converted.stderr}",
    )
    train(folder / "narrow", *TINY, "--epochs", 1, "--init", folder / "run" / "model.safetensors")
    train(folder / "converted", *TINY, "--epochs", 1, "--init", wide, "--convert")
    check(results(folder / "converted") == results(folder / "narrow"), "--init --convert trains another network")


def configurations(folder):
    path = folder / "config.toml"
    aside = ["--config", path, "--eval", folder / "missing.lpw"]  # stops after the options
    for text, says in [
        ("epochs = 4\nlearning-rate = 0.1\n", ["config.toml:2: ", "no option learning-rate"]),
        ("\n# comment\nepochs = four\n", ["config.toml:3: ", "four"]),
        ("epochs = 0\n", ["config.toml:1: ", "from 1 to 1000000000000"]),
        ("epochs = 0x\n", ["config.toml:1: ", "epochs = 0x"]),
        ("epochs = 1e3\n", ["config.toml:1: ", "whole number", "found 1000.0"]),
        ('epochs = "0x10"\n', ["config.toml:1: ", "found 0x10"]),
        ("epochs = 010\n", ["config.toml:1: ", "leading zeroes", "decimal number"]),
        ("lr = nan\n", ["config.toml:1: ", "above 0", "found nan"]),
        ('data = "a\x01b"\n', ["config.toml:1: ", "control characters"]),
        ('data = "\\u0000"\n', "config.toml:1: "),
        (b'data = "caf\xe9"\n', ["config.toml:1: ", "utf-8"]),
        ("seed = 18446744073709551616\n", ["config.toml:1: ", "from 0 to 18446744073709551615"]),
        ("deterministic = 5x\n", ["config.toml:1: ", "true or false"]),
        ('data = "a\\q"\n', "config.toml:1: "),
        ('data = "a\\u00"\n', "config.toml:1: "),
        ("\xff\xfee\0p\0".encode("latin-1"), ["config.toml", "UTF-16", "UTF-8"]),
        ('late = "head\nepochs = 3\n', "config.toml:1: "),
        ("epochs\n", "config.toml:1: "),
        ("[section]\nepochs = 4\n", "config.toml:1: "),
        ("milestones = [1, 2]\n", "config.toml:1: "),
        ("epochs = 4 5\n", "config.toml:1: "),
        ("epochs = 4\nbatch = 2\nepochs = 5\n", ["config.toml:3: ", "line 1"]),
        ('out = "elsewhere"\n', ["config.toml:1: ", "command line"]),
        ("resume = true\n", ["config.toml:1: ", "command line"]),
        ("epochs = " + "9" * 100000, "config.toml:1: "),
        ("epochs = 99999999999999999999\n", "config.toml:1: "),
        ('late = "head,bogus"\n', "missing.lpw"),
    ]:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        refused(*aside, says=says)
    path.unlink()
    refused(*aside, says="config.toml")
    refused("--config", folder, says="is not a regular file")
    done = run("--dry-run", *TINY)
    check(done.returncode == 0, done.stderr)
    content = done.stdout[done.stdout.index("# The options") :].encode()
    for _ in range(60):
        place = random.randrange(len(content))
        flipped = bytes([content[place] ^ 1 << random.randrange(8)])
        path.write_bytes(content[:place] + random.choice([b"", flipped, flipped + content[place + 1 :]]))
        refused(*aside)


def data(folder):
    cifar = TINY + ["--data", folder / "cifar", "--out", folder / "out"]
    refused(*cifar, says=["cifar", "download_data.sh"])
    images = folder / "cifar" / "cifar-10-batches-bin"
    images.mkdir(parents=True)
    refused(*cifar, says=["data_batch_1.bin", "download_data.sh"])
    first = images / "data_batch_1.bin"
    size = 10000 * 3073
    for length in [0, 1, 3073, size - 1, size + 1, 2 * size]:
        first.touch()
        os.truncate(first, length)  # a file of zeros, without taking the space
        refused(*cifar, says=["data_batch_1.bin", f"expected {size} bytes", f"found {length}"])
    os.truncate(first, size)
    with open(first, "r+b") as file:
        file.seek(3 * 3073)
        file.write(b"\x0a")
    refused(*cifar, says=["data_batch_1.bin", "record 3", "found 10"])
    check(not (folder / "out").exists(), "a run folder was made without data")


def run_folders(folder):
    (folder / "file").write_text("in the way")
    refused(*TINY, "--out", folder / "file", says=["file", "--out"])
    refused(*TINY, "--out", folder / "file" / "run", says=["file", "--out"])
    (folder / "run" / "config.toml").mkdir(parents=True)
    refused(*TINY, "--out", folder / "run", says="config.toml")
    process = start(*TINY, "--out", folder / "busy")
    for line in process.stdout:
        if line.startswith("epoch 1"):
            break
    refused(*TINY, "--out", folder / "busy", "--resume", says=["another process", "--out"])
    process.communicate(timeout=600)
    check(process.returncode == 0, "the first process was disturbed")


def full_disk(folder):
    """A limit on the size of files stands for a full disk: writes fail half way."""
    train(folder / "undisturbed", *TINY)
    process = start(*TINY, "--out", folder / "run", "--checkpoint-minutes", "0.000001")
    for line in process.stdout:
        if line.startswith("epoch 2"):
            break
    process.kill()
    process.communicate()
    saved = (folder / "run" / "checkpoint.lpw").read_bytes()
    limited = {
        "restore_signals": False,
        "preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
    }
    refused(
        *TINY,
        "--out",
        folder / "run",
        "--resume",
        "--checkpoint-minutes",
        "0.000001",
        says=["checkpoint.lpw", "--resume"],
        **limited,
    )
    check((folder / "run" / "checkpoint.lpw").read_bytes() == saved, "the checkpoint of before is lost")
    done = run("--out", folder / "run", "--resume")
    check(done.returncode == 0, done.stderr)
    check_same(folder / "run", results(folder / "undisturbed"), "resumed after the disk was full")


def divergence(folder):
    message = refused(
        *TINY,
        "--lr",
        1e12,
        "--schedule",
        "constant",
        "--out",
        folder / "run",
        "--checkpoint-minutes",
        "0.000001",
        says="lower the learning rate",
    )
    check("epoch 1" in message, message)
    check(
        (folder / "run" / "checkpoint.lpw").exists(),
        "diverged before the first checkpoint, so that this test sees nothing",
    )
    for name in ["weights.base", "buffers"]:
        check(
            all(map(math.isfinite, checkpoint_tensor(folder / "run", name))), f"{name} of the checkpoint are not finite"
        )


def no_threads(folder):
    """A limit on processes is said to be one: by loops, and on one thread by what makes minibatches."""
    limited = without_threads(PROGRAM, folder)
    if limited is None:
        return
    cause = "Resource temporarily unavailable; the system's limit on processes or memory is reached"
    for threads, what in [(2, "cannot start thread 2 of 2: "), (1, "cannot start a thread for minibatches: ")]:
        refused(*TINY, "--threads", threads, "--out", folder / "run", says=what + cause, **limited)


def closed_output(folder):
    """`cifar | head -1` ends as programs in pipes do."""
    process = subprocess.Popen(
        [PROGRAM, *map(str, TINY), "--out", str(folder / "run")], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.close()
    process.stderr.read()
    check(process.wait(timeout=600) in (0, -13), f"exit code {process.returncode}")


TESTS = [
    options,
    checkpoints,
    models,
    configurations,
    data,
    run_folders,
    full_disk,
    divergence,
    no_threads,
    closed_output,
]
chosen = [test for test in TESTS if test.__name__ in sys.argv[2:]] or TESTS
check(len(chosen) == len(sys.argv[2:] or TESTS), f"one of {sys.argv[2:]} is no test")
main(*chosen)
