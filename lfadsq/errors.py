"""Every error that lfadsq raises on purpose.

::

    LfadsqError
    ├── ConfigError (ValueError)            what the user asked for cannot be
    │   ├── UnknownHyperParamError          a hyperparameter of that name does not exist
    │   ├── DatasetError                    a dataset holds what LFADS cannot be given
    │   └── TemplateError                   a generated file has a missing or an unknown value
    ├── StorageError (OSError)              the disk is full, or a file cannot be written or read
    ├── RunError
    │   ├── RunNotFoundError (LookupError)
    │   ├── RunExistsError (FileExistsError)
    │   └── HashCollisionError              two different settings have the same hash
    ├── QueueError (RuntimeError)
    │   ├── NoGpuError                      a GPU was asked for that this machine does not have
    │   └── ClusterError                    a batch system refuses or does not answer
    ├── TrainingError (RuntimeError)
    │   ├── NonFiniteCostError              the cost became NaN or infinite
    │   └── CheckpointError                 a checkpoint is missing, damaged, or of another model
    └── ResultError
        ├── ResultNotReadyError (LookupError)   the run has not written this yet
        └── ResultShapeError (ValueError)       a result file does not fit its run

Errors cross process borders: every constructor argument is passed on to ``Exception``, so that they
pickle, and the text is built in ``__str__``.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import ClassVar

__all__ = [
    "CheckpointError",
    "ClusterError",
    "ConfigError",
    "DatasetError",
    "HashCollisionError",
    "LfadsqError",
    "NoGpuError",
    "NonFiniteCostError",
    "QueueError",
    "ResultError",
    "ResultNotReadyError",
    "ResultShapeError",
    "RunError",
    "RunExistsError",
    "RunNotFoundError",
    "StorageError",
    "TemplateError",
    "TrainingError",
    "UnknownHyperParamError",
]


class LfadsqError(Exception):
    """Base of all errors of lfadsq.

    Parameters
    ----------
    problem : str
        What is wrong, and where: the file, the dataset, the hyperparameter.
    remedy : str, optional
        What to do next.

    Attributes
    ----------
    retry_can_help : bool
        Whether doing the same again, unchanged, may succeed.

    Examples
    --------
    >>> print(LfadsqError("dataset001 has no trials", "remove it from the run"))
    dataset001 has no trials; remove it from the run
    """

    retry_can_help: ClassVar[bool] = False

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(problem, remedy)
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.problem}; {self.remedy}" if self.remedy else self.problem


class ConfigError(LfadsqError, ValueError):
    """What the user asked for cannot be; nothing on disk was changed."""


class UnknownHyperParamError(ConfigError):
    """A hyperparameter of that name does not exist.

    Parameters
    ----------
    name : str
        The name as the user wrote it.
    known : sequence of str
        The names that exist, from which the nearest is offered.

    Examples
    --------
    >>> print(UnknownHyperParamError("c_gen_dims", ["c_gen_dim", "c_ic_dim"]))
    no hyperparameter is called 'c_gen_dims'; did you mean 'c_gen_dim'?
    """

    def __init__(self, name: str, known: Sequence[str]) -> None:
        by_lower_case = {one.lower(): one for one in known}
        nearest = get_close_matches(name.lower(), by_lower_case, n=1, cutoff=0.5)
        remedy = (
            f"did you mean {by_lower_case[nearest[0]]!r}?"
            if nearest
            else f"known are {', '.join(known)}"
        )
        super().__init__(f"no hyperparameter is called {name!r}", remedy)
        self.args = (name, tuple(known))


class DatasetError(ConfigError):
    """A dataset holds what LFADS cannot be given (NaN, negative counts, too few trials ...)."""


class TemplateError(ConfigError):
    """A generated file has a missing or an unknown value."""


class StorageError(LfadsqError, OSError):
    """The disk is full, or a file cannot be written or read; no half-written file was left."""

    retry_can_help = True


class RunError(LfadsqError):
    """Something about runs in a collection."""


class RunNotFoundError(RunError, LookupError):
    """No run, parameter setting or dataset fits what was asked for."""


class RunExistsError(RunError, FileExistsError):
    """A run of that name is there already and differs."""


class HashCollisionError(RunError):
    """Two different settings have the same hash, so their files would lie in one folder."""


class QueueError(LfadsqError, RuntimeError):
    """The queue cannot go on."""


class NoGpuError(QueueError):
    """A GPU was asked for that this machine does not have."""


class ClusterError(QueueError):
    """A batch system refuses, does not answer, or gives no machine that can be used."""

    retry_can_help = True


class TrainingError(LfadsqError, RuntimeError):
    """Training cannot go on."""


class NonFiniteCostError(TrainingError):
    """The cost became NaN or infinite; repeating with the same seed and settings repeats it."""


class CheckpointError(TrainingError):
    """A checkpoint is missing, damaged, or belongs to a model of another shape."""


class ResultError(LfadsqError):
    """Something about what a run wrote."""


class ResultNotReadyError(ResultError, LookupError):
    """The run has not written this result yet."""

    retry_can_help = True


class ResultShapeError(ResultError, ValueError):
    """A result file does not fit the run it lies in."""
