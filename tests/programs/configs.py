"""Usage: configs.py CIFAR FOLDER
The configurations of the published runs are read as what they say they are, without training for weeks."""
import pathlib
import re
import sys

from trainer import check, main, run

FILES = sorted(pathlib.Path(sys.argv[2]).glob("cifar*.toml"))
ELSEWHERE = ["--data", "synthetic", "--dataset", "cifar10", "--model", "wrn-10-1", "--dry-run"]  # their data and size are not for tests


def each_file(folder):
    check(len(FILES) == 10, f"expected 10 configurations, found {len(FILES)}")
    for path in FILES:
        text = path.read_text()
        data, model, swa, late = re.fullmatch(r"(cifar100?)-(wrn-28-1[04])-(?=.*?(swa)?$)(late-phase)?(?:-?(?:swa|sgd))?", path.stem).groups()
        check(f'dataset = "{data}"' in text and f'model = "{model}"' in text, f"{path.name} is for another data set or model")
        check(f"--config examples/configs/{path.name}" in text and f"download_data.sh {data} DIR" in text, f"{path.name}: command of another")
        check(re.search(r"published test accuracy \d\d\.\d\d ± 0\.\d\d %", text), f"{path.name}: no published figure")
        done = run("--config", path, *ELSEWHERE)
        check(done.returncode == 0, f"{path.name}: {done.stderr}")
        release = 100 if swa else 120
        plan = f"after {release} of 200 epochs 10 members, each on minibatches of its own: 10 x 128" if late else "there is 1 member"
        check(plan in done.stdout, f"{path.name}: plan is not {plan!r}:\n{done.stdout}")
        decay = "5e-03" if data == "cifar100" and late and not swa else "-1"
        for line in ["batch = 128", "lr = 0.1", "momentum = 0.9", "weight-decay = 5e-04", "sigma = 0", 'base-gradient = "sum"',
                     f'schedule = "{"anneal:80:144:0.05" if swa else "anneal:100:180:0.001"}"', f"swa-start = {160 if swa else -1}"]:
            check(f"\n{line}\n" in done.stdout, f"{path.name}: no {line} in\n{done.stdout}")
        check(float(re.search(r"\nlate-weight-decay = (\S+)\n", done.stdout)[1]) == float(decay), f"{path.name}: late weight decay is not {decay}")


main(each_file)
