"""GPUs as a test wants them, for the real ``nvidia-ml-py`` and for whole queue processes.

`StandInGpus` writes the file that the stand-in driver (``nvml_standin.c``) follows, and gives the
environment in which a process loads that driver in place of NVIDIA's. What "trains" on such GPUs
is ``take_gpu_memory.py``.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["ERRORS", "EXCLUSIVE", "PROHIBITED", "StandInGpu", "StandInGpus", "build_driver"]

ERRORS = {"lost": 15, "mismatch": 18, "not loaded": 9, "no permission": 4, "unknown": 999}
"""What the driver can answer, by number."""

PROHIBITED, EXCLUSIVE = 2, 3
"""Compute modes other than the default."""

_HERE = Path(__file__).parent


def build_driver(folder: Path) -> Path:
    """Compile the stand-in driver into a folder, which is then fit for ``LD_LIBRARY_PATH``.

    Raises
    ------
    FileNotFoundError
        If there is no C compiler.
    """
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise FileNotFoundError("no C compiler (cc) to build the stand-in driver with")
    library = folder / "libnvidia-ml.so.1"
    subprocess.run(
        [compiler, "-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-O1", "-shared"]
        + ["-fPIC", f"-Wl,-soname,{library.name}", "-o", library, _HERE / "nvml_standin.c"],
        check=True,
    )
    return library


@dataclass
class StandInGpu:
    """A GPU, or with `index` a MIG device of one; memory in MB, all of it as NVML would tell."""

    uuid: str
    name: str = "NVIDIA A100"
    total: float = 40000
    used: float = 0  # by whoever is not listed
    reserved: float = 0  # by the driver for itself
    mode: int = 0
    error: int = 0
    era: int = 0  # another one makes the handles void, as a reset does
    util: int = 0  # this and the next three: -1 if it does not tell
    power: int = 60
    limit: int = 400
    temp: int = 35
    processes: list[tuple[int, float]] = field(default_factory=list)  # pid, MB; -1: not told
    parts: list[StandInGpu] = field(default_factory=list)
    index: int = 0
    gi: int = 0
    ci: int = 0

    def lines(self, kind: str = "gpu") -> list[str]:
        """Describe it as the stand-in driver reads it."""
        keys = ["uuid", "total", "used", "reserved", "mode", "error", "era", "util"]
        keys += ["power", "limit", "temp", "index", "gi", "ci"]
        values = [f"{key}={getattr(self, key)}" for key in keys]
        lines = [" ".join([kind, *values, f"mig={int(bool(self.parts))}", f"name={self.name}"])]
        lines += [f"process pid={pid} mb={mb}" for pid, mb in self.processes]
        return lines + [line for part in self.parts for line in part.lines("part")]


class StandInGpus:
    """The GPUs of a machine. Change them, then `write`; whoever looks sees it at once.

    Parameters
    ----------
    file : Path
        Where to describe them.
    library : Path
        The driver that `build_driver` made.

    Attributes
    ----------
    gpus : list of StandInGpu
    init_error : int
        What starting the driver answers (`ERRORS`); 0 if it works.
    is_old : bool
        A driver before 510, without memory version 2 and processes version 3.
    hides_processes : bool
        As in a container: memory is used, by nobody to be seen.
    pid_offset : int
        As in a container with an older driver: pids are counted elsewhere.
    era : int
        Another one is a driver that was loaded anew: it has to be opened anew as well.
    """

    def __init__(self, file: Path, library: Path) -> None:
        self.file = file
        self.library = library
        self.gpus: list[StandInGpu] = []
        self.init_error = 0
        self.is_old = False
        self.hides_processes = False
        self.pid_offset = 0
        self.era = 0
        self.write()

    @property
    def device_node(self) -> Path:
        """What whoever computes on a GPU has open, as with NVIDIA's."""
        return Path(f"{self.file}.taken", "dev", "nvidiactl")

    def put(self, *gpus: StandInGpu) -> None:
        """Replace all GPUs."""
        self.gpus = list(gpus)
        self.write()

    def put_alike(self, num: int, total: float = 40000) -> None:
        """Replace all GPUs by so many alike, ``GPU-00000000-standin`` and so on."""
        self.put(*(StandInGpu(f"GPU-{n:08d}-standin", total=total) for n in range(num)))

    def write(self) -> None:
        """Let the driver see what was changed, all of it at once."""
        head = (
            f"driver init={self.init_error} old={int(self.is_old)}"
            f" hides={int(self.hides_processes)} pid_offset={self.pid_offset} era={self.era}"
        )
        lines = [head, *(line for gpu in self.gpus for line in gpu.lines())]
        for gpu in self.gpus:
            for device in [gpu, *gpu.parts]:
                Path(f"{self.file}.taken", device.uuid).mkdir(parents=True, exist_ok=True)
        self.device_node.parent.mkdir(parents=True, exist_ok=True)
        self.device_node.touch()
        aside = self.file.with_suffix(".new")
        aside.write_text("\n".join(lines) + "\n")
        aside.replace(self.file)

    def environment(self) -> dict[str, str]:
        """Give what a process needs to have these GPUs."""
        paths = [str(self.library.parent), *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]
        return {"LFADSQ_STANDIN_GPUS": str(self.file), "LD_LIBRARY_PATH": ":".join(paths)}

    def training(self, mb: float | Sequence[float], seconds: float) -> str:
        """Give a command that takes memory of the GPU it is given, and gives it back by dying.

        Parameters
        ----------
        mb : float or sequence of float
            How much it takes [MB]; or first, then, and so on, for equal shares of the time. If
            there is less, it fails as CUDA does.
        seconds : float
            How long it goes on [s].
        """
        amounts = [mb] if isinstance(mb, (int, float)) else mb
        words = [sys.executable, "-I", "-S", str(_HERE / "take_gpu_memory.py")]
        words += [",".join(map(str, amounts)), str(seconds)]
        return shlex.join(words)

    def taken_mb(self, uuid: str) -> dict[int, float]:
        """Tell who, by pid, says to have how much of a device [MB]; the dead may be among them."""
        taken = {}
        for file in Path(f"{self.file}.taken", uuid).iterdir():
            if file.name.isdecimal():
                taken[int(file.name)] = float(file.read_text() or 0)
        return taken
