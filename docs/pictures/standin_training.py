"""A "training" for pictures: takes memory of a stand-in GPU, and writes costs as a trainer does.

    python standin_training.py --lfads_save_dir=... --gen_dim=... --keep_prob=... ...

Its costs follow from its hyperparameters alone. It takes seconds, and says of itself that it takes
a hundred times as long, so that what is shown looks as it does with real ones. One setting fails,
as a real training may.
"""

from __future__ import annotations

import json
import math
import os
import socket
import sys
import time
from datetime import datetime, timezone
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "nvml_standin"))

from take_gpu_memory import take

NUM_EPOCHS = 90
EPOCH_S = float(os.environ.get("LFADSQ_PICTURES_EPOCH_S", "0.2"))
SLOWER = 100
STEPS_PER_EPOCH = 24
KL_STEPS = 900
FAILS = {"gen_dim": "200", "keep_prob": "0.900000"}
FAILS_AFTER = 40


def costs(epoch: int, gen_dim: int, keep_prob: float) -> tuple[float, float, float, float]:
    """Give the total and the KL cost of an epoch, each of training and validation."""
    capacity = math.log2(gen_dim / 32)
    best = 1150 - 30 * capacity + 9000 * (keep_prob - 0.94) ** 2
    fall = 420 * math.exp(-epoch / (4 + 6 * capacity)) + 60 * math.exp(-epoch / 35)
    overfitting = 1.2 * capacity * keep_prob**8 * max(0.0, epoch / NUM_EPOCHS - 0.45) ** 2 * 40
    wiggle = 3 * math.sin(1.7 * epoch + gen_dim) + 2 * math.sin(0.61 * epoch + 100 * keep_prob)
    kl = 14 * (1 - math.exp(-epoch / 20))
    train = best + fall + wiggle - overfitting / 2
    return train, best + fall + 8 + 1.5 * wiggle + overfitting, kl, kl * 1.05


def main() -> int:
    flags = dict(word.removeprefix("--").split("=", 1) for word in sys.argv[1:] if "=" in word)
    output = Path(flags["lfads_save_dir"])
    output.mkdir(exist_ok=True)
    gen_dim, keep_prob = int(flags["gen_dim"]), float(flags["keep_prob"])
    fails = all(flags[name] == value for name, value in FAILS.items())
    machine = Path(os.environ["LFADSQ_STANDIN_GPUS"])
    lowest = math.inf
    with Path(f"{machine}.taken", "dev", "nvidiactl").open("rb"):
        take(machine, os.environ["CUDA_VISIBLE_DEVICES"], 2600 + 30 * gen_dim)
        for epoch in range(NUM_EPOCHS):
            if fails and epoch == FAILS_AFTER:
                print("NonFiniteCostError: the cost of step 961 is not a number")
                print("first not finite: the log rates; lower c_learning_rate_init")
                return 1
            train, valid, kl_train, kl_valid = costs(epoch, gen_dim, keep_prob)
            step = (epoch + 1) * STEPS_PER_EPOCH
            weight = min(1.0, step / KL_STEPS)
            lowest = min(lowest, valid) if weight == 1 else lowest
            print(f"Epoch:{epoch}, step:{step} (TRAIN, VALID): total: {train:.2f}, {valid:.2f}")
            with (output / "fitlog.csv").open("a") as log:
                log.write(
                    f"epoch,{epoch}, step,{step}, total,{train:.2f},{valid:.2f},       "
                    f"recon,{train - kl_train:.2f},{valid - kl_valid:.2f}, "
                    f"kl,{kl_train:.2f},{kl_valid:.2f}, l2,2.50000,       "
                    f"klweight,{weight:.2f}, l2weight,{weight:.2f}\n"
                )
            say(output, epoch, train, valid, lowest, gen_dim)
            time.sleep(EPOCH_S)
    print("Stopping optimization based on learning rate criteria.")
    return 0


def say(output: Path, epoch: int, train: float, valid: float, lowest: float, gen_dim: int) -> None:
    """Write where the training stands."""
    left = NUM_EPOCHS - 1 - epoch
    told = {
        "version": 1,
        "state": "training" if left else "finished",
        "num_epochs": epoch + 1,
        "step": (epoch + 1) * STEPS_PER_EPOCH,
        "learning_rate": 0.01 * 0.95 ** (epoch // 7),
        "total": [train, valid],
        "lowest_valid_total": lowest if math.isfinite(lowest) else None,
        "steps_per_s": 35.0 - 0.05 * gen_dim,
        "epoch_s": EPOCH_S * SLOWER,
        "remaining_s": left * EPOCH_S * SLOWER,
        "is_lower_bound": False,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "updated": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
    }
    aside = output / ".progress.json"
    aside.write_text(json.dumps(told))
    aside.replace(output / "progress.json")


if __name__ == "__main__":
    sys.exit(main())
