"""`RunRow`: what is known of a run of a sweep; and the columns of the table made of these."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lfadsq.errors import ConfigError
from lfadsq.results.run_scores import RunScores
from lfadsq.results.run_signs import RunSign

__all__ = ["COLUMNS", "COST_WEIGHTS", "RULES", "Column", "RunRow", "check_column", "check_rule"]

COST_WEIGHTS = (
    "c_kl_ic_weight",
    "c_kl_co_weight",
    "c_l2_gen_scale",
    "c_l2_con_scale",
    "c_co_mean_corr_scale",
)
"""Hyperparameters that weigh parts of the cost: with others, the same model has another cost."""


@dataclass(frozen=True)
class RunRow:
    """What is known of one run.

    Attributes
    ----------
    name : str
        ``param_<HASH>/<run name>``.
    data : tuple of str
        Equal for runs on equal data.
    data_label : str
        The same for people: the run name and, where the sweep changes the data, in what.
    settings : dict of str to object
        Values of the hyperparameters that vary.
    cost_weights : tuple of float
        Values of `COST_WEIGHTS`.
    state : str
        Where the run stands (`lfadsq.watching.run_status.RunState`).
    num_epochs : int
        Epochs trained.
    best_epoch : int or None
        The one of lowest validation cost, of which posterior means and parameters are.
    valid_cost, recon_train, recon_valid, kl_valid : float [nats/trial]
        Of that epoch: total cost, reconstruction, and KL. Cost and KL are as the trainer logs them,
        KL times ``c_kl_ic_weight`` and ``c_kl_co_weight``. NaN where there is none.
    kl_weights : tuple of float
        Those of these two weights that have a part in the KL.
    scores : RunScores
        What posterior means tell.
    time_s : float [s]
        All attempts together.
    memory_mb : float [MB]
        The most device memory that a queue saw it take.
    signs : tuple of RunSign
        What looks wrong.
    notes : tuple of str
        Why something is missing.
    """

    name: str
    data: tuple[str, ...] = ()
    data_label: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    cost_weights: tuple[float, ...] = ()
    kl_weights: tuple[float, ...] = (1.0,)
    state: str = ""
    num_epochs: int = 0
    best_epoch: int | None = None
    valid_cost: float = math.nan
    recon_train: float = math.nan
    recon_valid: float = math.nan
    kl_valid: float = math.nan
    scores: RunScores = field(default_factory=RunScores)
    time_s: float = math.nan
    memory_mb: float = math.nan
    signs: tuple[RunSign, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def valid_bound(self) -> float:
        """Reconstruction and KL of validation trials without weights [nats/trial].

        It is a bound on the negative log-likelihood, whatever weights the run was trained with
        (but for terms that are the same for all). NaN where the log does not tell it: if the KL of
        initial conditions and of inputs had different weights, or one of them none.
        """
        weights = set(self.kl_weights)
        if len(weights) != 1 or min(weights) <= 0:
            return math.nan
        return self.recon_valid + self.kl_valid / min(weights)


@dataclass(frozen=True)
class Column:
    """A number of each run.

    Attributes
    ----------
    name : str
        In tables, and for ``by``.
    heading : str
        The same in few letters, for terminals.
    about : str
        What it is, with its unit.
    of : callable
        Gives it for a row.
    better : int
        -1 if lower is better, 1 if higher is, 0 if neither.
    digits : int
        After the decimal point.
    """

    name: str
    heading: str
    about: str
    of: Callable[[RunRow], float]
    better: int = 0
    digits: int = 3


COLUMNS = (
    Column(
        "valid_cost", "cost", "lowest validation cost [nats/trial]", lambda r: r.valid_cost, -1, 2
    ),
    Column(
        "valid_bound",
        "bound",
        "reconstruction + KL of validation trials, unweighted [nats/trial]",
        lambda r: r.valid_bound,
        -1,
        2,
    ),
    Column(
        "recon_valid",
        "recon",
        "reconstruction of validation trials [nats/trial]",
        lambda r: r.recon_valid,
        0,
        2,
    ),
    Column(
        "kl_valid",
        "KL",
        "KL of validation trials, times its weights [nats/trial]",
        lambda r: r.kl_valid,
        0,
        2,
    ),
    Column(
        "recon_gap",
        "gap",
        "over-fitting: reconstruction, validation less training [nats/trial]",
        lambda r: r.recon_valid - r.recon_train,
        0,
        2,
    ),
    Column(
        "co_bits_per_spike",
        "co-bps",
        "co-smoothing of held-out channels, validation trials [bits/spike]",
        lambda r: r.scores.co_smoothing.value,
        1,
    ),
    Column(
        "bits_per_spike",
        "bits/sp",
        "bits per spike of the channels seen, validation trials",
        lambda r: r.scores.bits_per_spike.value,
        1,
    ),
    Column(
        "bits_per_spike_gap",
        "bitgap",
        "over-fitting: bits per spike, training less validation",
        lambda r: r.scores.train_bits_per_spike.value - r.scores.bits_per_spike.value,
    ),
    Column(
        "psth_r2",
        "PSTH",
        "R2 of condition averages, validation trials",
        lambda r: r.scores.psth_r2.value,
        1,
    ),
    Column(
        "truth_r2",
        "R2",
        "R2 of true rates, validation trials",
        lambda r: r.scores.truth_r2.value,
        1,
    ),
    Column(
        "truth_log_r2",
        "log R2",
        "R2 of true log rates, validation trials",
        lambda r: r.scores.truth_log_r2.value,
        1,
    ),
    Column(
        "spike_following",
        "follow",
        "how much rates jump with single spikes: 0 not at all, 1 they are the spikes",
        lambda r: r.scores.spike_following.value,
    ),
    Column("num_epochs", "epochs", "epochs trained", lambda r: float(r.num_epochs), 0, 0),
    Column("time_s", "time", "training, all attempts together [s]", lambda r: r.time_s, 0, 0),
    Column("memory_mb", "mem MB", "most device memory taken [MB]", lambda r: r.memory_mb, 0, 0),
)
"""Numbers of the table, in its order."""

RULES = tuple(column.name for column in COLUMNS if column.better)
"""By what runs can be ranked."""

_OTHERS = ("name", "state")


def check_rule(by: str | None) -> None:
    """Refuse what is no rule to rank runs by.

    Raises
    ------
    ConfigError
        If it is none of `RULES`, nor None.
    """
    if by is not None and by not in RULES:
        raise ConfigError(
            f"there is no rule {by!r} to rank runs by", f"give one of {', '.join(RULES)}"
        )


def check_column(name: str, varying: tuple[str, ...]) -> None:
    """Refuse what runs cannot be sorted by.

    Parameters
    ----------
    name : str
    varying : tuple of str
        The hyperparameters that vary.

    Raises
    ------
    ConfigError
        If it is none of these, no column, and neither ``name`` nor ``state``.
    """
    known = (*(column.name for column in COLUMNS), *varying, *_OTHERS)
    if name not in known:
        raise ConfigError(f"there is no column {name!r}", f"give one of {', '.join(known)}")
