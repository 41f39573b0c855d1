"""The files of a new experiment: a package with your own classes, drive scripts, and a README."""

from __future__ import annotations

import keyword
import re
import sys
import unicodedata
from datetime import date
from importlib.util import find_spec
from pathlib import Path

from lfadsq.manager.templating import render

__all__ = ["package_name", "render_starter"]

_PACKAGE = ("package",)
_PACKAGE_AND_VERSION = ("package", "version")
_FILES = (
    ("README.md", "README.md", _PACKAGE),
    ("package.py", "{package}/__init__.py", _PACKAGE),
    ("recordings.py", "{package}/recordings.py", _PACKAGE),
    ("dataset.py", "{package}/dataset.py", ()),
    ("run_params.py", "{package}/run_params.py", _PACKAGE),
    ("run.py", "{package}/run.py", ()),
    ("drive_single.py", "drive_single.py", _PACKAGE_AND_VERSION),
    ("drive_stitched.py", "drive_stitched.py", _PACKAGE_AND_VERSION),
    ("look_at_results.py", "look_at_results.py", _PACKAGE),
)
"""Templates in ``templates/experiment``, where in the experiment each goes, what it is given."""

_LONGEST_NAME = 30
_FALLBACK = "experiment"
# Besides, scripts lie next to the package, and what is generated too.
_TAKEN = {"drive_single", "drive_stitched", "look_at_results", "runs", "pictures", "demo_data"}


def package_name(name: str) -> str:
    """Give the Python package of an experiment its name.

    Parameters
    ----------
    name : str
        What the experiment is called.

    Returns
    -------
    str
        Small letters, digits and underscores. One that would stand in the way of another module is
        lengthened.

    Examples
    --------
    >>> [package_name(name) for name in ("Reaching", "Bär's 3rd-day", "2 monkeys", "numpy", "猿")]
    ['reaching', 'bar_s_3rd_day', 'experiment_2_monkeys', 'numpy_experiment', 'experiment']
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")
    package = words[:_LONGEST_NAME].strip("_") or _FALLBACK
    if package[0].isdigit():
        package = f"{_FALLBACK}_{package}"
    if package in _TAKEN or keyword.iskeyword(package) or _is_module(package):
        package = f"{package}_{_FALLBACK}"
    return package


def render_starter(folder: Path, *, today: date | None = None) -> dict[Path, str]:
    """Give the text of every file of a new experiment.

    Parameters
    ----------
    folder : Path
        The experiment's, whose name its package has (see `package_name`).
    today : datetime.date, optional
        When its scripts were written: the ``version`` of their collections.

    Returns
    -------
    dict of Path to str
        The text by the file it belongs into.
    """
    package = package_name(folder.name)
    known: dict[str, object] = {
        "package": package,
        "version": int(f"{today or date.today():%Y%m%d}"),
    }
    return {
        folder / place.format(package=package): render(
            f"experiment/{template}", **{name: known[name] for name in names}
        )
        for template, place, names in _FILES
    }


def _is_module(name: str) -> bool:
    if name in sys.stdlib_module_names:
        return True
    spec = find_spec(name)
    return spec is not None and spec.origin is not None  # a mere folder here has none
