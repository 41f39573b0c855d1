"""A "training" on stand-in GPUs: takes memory of its GPU, and gives it back by dying.

take_gpu_memory.py MB[,MB...] SECONDS

Prints what CUDA would, and ends with status 1, if its GPU does not let it in, or has not as much.
"""

import fcntl
import os
import sys
import time
from pathlib import Path


def fields(line: str) -> dict[str, str]:
    head, _, name = line.partition(" name=")
    return {**dict(word.split("=", 1) for word in head.split()[1:]), "name": name}


def die(error: str) -> None:
    sys.stderr.write(f"E stand-in cuda_driver.cc: {error}\n")
    raise SystemExit(1)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def take(machine: Path, uuid: str, mb: float) -> None:
    """Take so much in all, or die."""
    folder = Path(f"{machine}.taken", uuid)
    lines = machine.read_text().splitlines()
    at = [n for n, line in enumerate(lines) if f" uuid={uuid} " in line]
    if not at:
        die("CUDA_ERROR_NO_DEVICE: no CUDA-capable device is detected")
    gpu = fields(lines[at[0]])
    if gpu["error"] != "0":
        die("CUDA_ERROR_NO_DEVICE: no CUDA-capable device is detected")
    others = 0.0
    listed = 0
    for line in lines[at[0] + 1 :]:
        if not line.startswith("process "):
            break
        listed += 1
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for file in folder.iterdir():
            if file.name.isdecimal() and int(file.name) != os.getpid() and is_alive(int(file.name)):
                others += float(file.read_text() or 0)
                listed += 1
        if gpu["mode"] == "2" or (gpu["mode"] != "0" and listed):
            die("CUDA_ERROR_DEVICE_UNAVAILABLE: CUDA-capable device(s) is/are busy or unavailable")
        free = float(gpu["total"]) - float(gpu["reserved"]) - float(gpu["used"]) - others
        if mb > free:
            die(f"CUDA_ERROR_OUT_OF_MEMORY: out of memory ({mb:.0f} MB, {free:.0f} MB free)")
        aside = folder / f".{os.getpid()}"
        aside.write_text(str(mb))
        aside.replace(folder / str(os.getpid()))


def main() -> None:
    amounts, seconds = [float(mb) for mb in sys.argv[1].split(",")], float(sys.argv[2])
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    if not visible:
        die("CUDA_ERROR_NO_DEVICE: no CUDA-capable device is detected")
    machine = Path(os.environ["LFADSQ_STANDIN_GPUS"])
    try:
        with Path(f"{machine}.taken", "dev", "nvidiactl").open("rb"):
            for mb in amounts:
                take(machine, visible, mb)
                sys.stdout.write(f"took {mb:.0f} MB of {visible}\n")
                sys.stdout.flush()
                time.sleep(seconds / len(amounts))
    finally:
        Path(f"{machine}.taken", visible, str(os.getpid())).unlink(missing_ok=True)


if __name__ == "__main__":
    main()
