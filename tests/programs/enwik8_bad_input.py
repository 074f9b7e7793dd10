"""Usage: enwik8_bad_input.py ENWIK8
Whatever is wrong with the options, texts and files of the enwik8 trainer: one line on stderr that says so, and an exit
code. What it shares with the cifar trainer is tested there."""

from trainer import TINY, check, contents, main, make_text, refused, run, train


def options(folder):
    out = ["--out", folder / "out"]
    for arguments, says in [
        (["--split", "90,5"], ["--split 90,5:", "sum to 100"]),
        (["--split", "90,5,6"], ["--split 90,5,6:", "sum to 100"]),
        (["--split", "110,-5,-5"], "sum to 100"),
        (["--split", "90,5,x"], "--split 90,5,x"),
        (["--split", "90,5,5,"], "--split 90,5,5,"),
        (["--split", "nan,5,5"], "--split nan,5,5"),
        (["--split", "0,50,50"], ["training text of 0 bytes", "too short"]),
        (["--split", "95,5,0"], ["test text of 0 bytes", "too short", "--split", "--test"]),
        (["--split", "95,0,5"], ["validation text of 0 bytes", "too short", "--split", "--valid"]),
        (["--pre-batch", "some"], ["--pre-batch some", "members, batch, or a number"]),
        (["--pre-batch", 0], "--pre-batch 0"),
        (["--pre-batch", 100000], ["too short for 1 x 100000 streams", "--pre-batch"]),
        (["--batch", 5000], ["too short for 1 x 15000 streams of at least 11 bytes", "--batch"]),
        (["--bptt", 20000], ["too short for 1 x 30 streams of at least 20001 bytes", "--bptt"]),
        (["--pre-batch", 3, "--batch", 5000], "too short for 3 x 5000 streams"),
        (["--batch", 10**12, "--members", 10**12], ["--batch 1000000000000", "so many streams"]),
        (["--batch", 10**12, "--pre-batch", 3], "too short for 3 x 1000000000000 streams"),
        (["--bptt", 0], ["--bptt", "from 1 to"]),
        (["--hidden", 0], ["--hidden", "from 1 to 100000"]),
        (["--hidden", 200000], ["--hidden", "from 1 to 100000"]),
        (["--layers", 0], ["--layers", "from 1 to"]),
        (["--embedding", 0], ["--embedding", "from 1 to"]),
        (["--late", "batchnorm"], ["--late batchnorm", "no batch norm"]),
        (["--late", "rank1,bogus"], "no parameter 'bogus'"),
        (["--optimizer", "lion"], ["--optimizer", "adamw"]),
        (["--clip", -1], ["--clip", "from 0 to 1e+12"]),
        (["--sample", -1], ["--sample", "from 0 to"]),
        (["--temperature", -0.5], ["--temperature", "from 0 to 1e+12"]),
        (["--release-step", -2], ["--release-step", "or -1"]),
        (["--release-step", 361], ["--release-step 361", "4 epochs of 120 iterations", "earlier step or more epochs"]),
        (["--model", "wrn-10-1"], "--model"),
        (["--convolution", "direct"], "--convolution"),
        (["--momentum", 0.5], ["--momentum does nothing", "adam"]),
        (["--temperature", 0.5], ["--temperature does nothing", "nothing is sampled"]),
        (["--late", "rank1,head,rank1"], "names rank1 twice"),
        (["--pre-batch", "0x10"], ["--pre-batch 0x10", "from 1 to 1000000000000"]),
        (["--best"], ["--best chooses by samples that are not trained on", "--held-out"]),
        (["--collapse", "fitted"], ["--collapse fitted chooses by", "--held-out"]),
        (["--held-out", 1], ["--held-out 1", "two bytes fewer than the training text"]),
        (["--held-out", 35999], ["--held-out 35999", "from 2 to 35998"]),
        (
            ["--data", __file__, "--valid", __file__, "--test", __file__, "--split", "50,25,25"],
            ["--split does nothing", "all of --data is trained on"],
        ),
        (["--split", "90,5,0x5"], "--split 90,5,0x5"),
    ]:
        refused(*TINY, *out, *arguments, says=says)
    check(contents(folder) == {}, f"files were left behind: {list(contents(folder))}")


def texts(folder):
    out = ["--out", folder / "out"]
    (folder / "empty").touch()
    (folder / "byte").write_bytes(b"a")
    for option in ["--data", "--valid", "--test"]:
        refused(*TINY, *out, option, folder / "missing", says=["missing", "cannot open"])
        refused(*TINY, *out, option, folder, says="is not a regular file")
        refused(*TINY, *out, option, folder / "empty", says=["empty: is empty", "expected a text"])
        refused(*TINY, *out, option, "", says=[option, "found nothing"])
    refused(*TINY, *out, "--data", folder / "byte", says=["training text of 0 bytes", "too short for 1 x 30 streams"])
    refused(*TINY, *out, "--valid", folder / "byte", says="the validation text of 1 bytes is too short")
    refused(*TINY, *out, "--test", folder / "byte", says="the test text of 1 bytes is too short")
    check(not (folder / "out").exists(), "a run folder was made without a text")


def another_text(folder):
    """A checkpoint belongs to its text: it is not continued on another, nor scored on one by mistake."""
    train(folder / "run", *TINY)
    (folder / "other").write_bytes(make_text(40000, seed=5))
    before = contents(folder / "run")
    refused(
        "--resume",
        "--out",
        folder / "run",
        "--data",
        folder / "other",
        says=["checkpoint.lpw", "training text was", "test text was"],
    )
    refused("--eval", folder / "run" / "checkpoint.lpw", says=["was trained on text", "--data", "--valid and --test"])
    refused("--eval", folder / "run" / "checkpoint.lpw", *TINY, "--hidden", 8, says="hidden was 32, now 8")
    refused("--eval", folder / "run" / "model.safetensors", says=["was trained on text", "--data"])
    refused(
        "--eval",
        folder / "run" / "model.safetensors",
        *TINY[:2],
        "--hidden",
        8,
        says=["model.safetensors", "lstm.weight_ih_l0"],
    )
    check(contents(folder / "run") == before, "refused runs changed the folder")
    done = run(
        "--eval", folder / "run" / "checkpoint.lpw", *TINY, "--valid", folder / "other", "--test", folder / "other"
    )
    check(done.returncode == 0 and "before release" not in done.stdout, done.stdout + done.stderr)


def other_files(folder):
    train(folder / "run", *TINY, "--epochs", 1)
    checkpoint = (folder / "run" / "checkpoint.lpw").read_bytes()
    (folder / "half.lpw").write_bytes(checkpoint[: len(checkpoint) // 2])
    refused("--eval", folder / "half.lpw", says="half.lpw")
    model = (folder / "run" / "model.safetensors").read_bytes()
    (folder / "half.safetensors").write_bytes(model[: len(model) // 2])
    refused("--eval", folder / "half.safetensors", says="half.safetensors")
    (folder / "renamed.safetensors").write_bytes(model.replace(b"lstm.weight_hh_l0", b"gate.weight_hh_l0"))
    refused("--eval", folder / "renamed.safetensors", *TINY[:2], says=["renamed.safetensors", "lstm.weight_hh_l0"])
    refused(
        *TINY,
        "--init",
        folder / "run" / "model.safetensors",
        "--layers",
        2,
        "--out",
        folder / "init",
        says="lstm.weight_ih_l1",
    )


main(options, texts, another_text, other_files)
