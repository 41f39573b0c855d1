"""Where every file of a run collection lies (FORMATS.md 1 and 6); no path is joined anywhere else.

The names are those of LFADS Run Manager and of the original trainer, so that either can stand at
the other end. Change none of them without a new collection version.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "LAST_VERSION_WITHOUT_RUN_NAME_IN_DATA",
    "CollectionPaths",
    "DataPaths",
    "OutputPaths",
    "RunPaths",
    "dataset_name_of",
    "input_dataset_name",
    "input_file_name",
    "input_info_name",
]

LAST_VERSION_WITHOUT_RUN_NAME_IN_DATA = 20171106
"""Collections up to this version keep the data of all runs side by side in ``data_<HASH>``."""

INPUT_FILE_STEM = "lfads"
"""What the trainer's input files begin with: its flag ``data_filename_stem``."""


def input_file_name(dataset_name: str) -> str:
    """Name the trainer's input file of a dataset.

    >>> input_file_name("dataset001")
    'lfads_dataset001.h5'
    """
    return f"{INPUT_FILE_STEM}_{dataset_name}.h5"


def input_dataset_name(file_name: str) -> str:
    """Name the dataset of a trainer's input file; empty if it is none.

    >>> input_dataset_name("lfads_dataset001.h5"), input_dataset_name("inputInfo_dataset001.mat")
    ('dataset001', '')
    """
    prefix, suffix = f"{INPUT_FILE_STEM}_", ".h5"
    is_input = file_name.startswith(prefix) and file_name.endswith(suffix)
    return file_name[len(prefix) : -len(suffix)] if is_input else ""


def input_info_name(dataset_name: str) -> str:
    """Name the file that tells what is in the trainer's input of a dataset.

    >>> input_info_name("dataset001")
    'inputInfo_dataset001.mat'
    """
    return f"inputInfo_{dataset_name}.mat"


def dataset_name_of(path: Path) -> str:
    """Name the dataset of a recording: its file name without extension, commas as underscores.

    >>> dataset_name_of(Path("data/monkey,2018-01-31.v2.mat"))
    'monkey_2018-01-31.v2'
    """
    return path.stem.replace(",", "_")


@dataclass(frozen=True)
class OutputPaths:
    """Files the trainer writes into its ``lfads_save_dir``.

    Parameters
    ----------
    folder : Path
        ``lfadsOutput`` of a run.
    """

    folder: Path

    @property
    def log_dir(self) -> Path:
        """TensorBoard's events."""
        return self.folder / "lfads_log"

    @property
    def model_params(self) -> Path:
        """The trained parameters, in HDF5."""
        return self.folder / "model_params"

    @property
    def prior_sample(self) -> Path:
        """Trials drawn from the prior."""
        return self.folder / "model_runs_prior_sample"

    @property
    def progress(self) -> Path:
        """Where training stands, for programs that watch it."""
        return self.folder / "progress.json"

    @property
    def provenance(self) -> Path:
        """With which versions, flags, data and devices the processes of a training began."""
        return self.folder / "provenance.json"

    @property
    def checkpoint_lve(self) -> Path:
        """Which checkpoint is that of the lowest validation cost."""
        return self.folder / "checkpoint_lve"

    def fit_log(self, csv_log: str = "fitlog") -> Path:
        """Give the log of costs, a line an epoch."""
        return self.folder / f"{csv_log}.csv"

    def hyperparameters(self, step: int) -> Path:
        """Give the record of all flags of the process that began training at `step`."""
        return self.folder / f"hyperparameters-{step}.txt"

    def posterior_means(self, dataset_name: str, split: str, kind: str, stem: str = "") -> Path:
        """Give the posterior means of one dataset.

        Parameters
        ----------
        dataset_name : str
            The dataset, without extension.
        split : {"train", "valid"}
            Which trials.
        kind : {"posterior_sample_and_average", "posterior_push_mean"}
            How they were computed.
        stem : str, default ""
            The trainer's flag ``output_filename_stem``.
        """
        prefix = f"{stem}_" if stem else ""
        return self.folder / f"{prefix}model_runs_{dataset_name}.h5_{split}_{kind}"


@dataclass(frozen=True)
class RunPaths:
    """Files of one run: one parameter setting on one run specification.

    Parameters
    ----------
    folder : Path
        ``<collection>/param_<HASH>/<run name>``.
    """

    folder: Path

    @property
    def lfads_input(self) -> Path:
        """Folder of links to the prepared data."""
        return self.folder / "lfadsInput"

    @property
    def lfads_output(self) -> Path:
        """Folder the trainer writes."""
        return self.folder / "lfadsOutput"

    @property
    def output(self) -> OutputPaths:
        """Files in `lfads_output`."""
        return OutputPaths(self.lfads_output)

    @property
    def train_script(self) -> Path:
        """Script that trains, samples posterior means and writes the parameters."""
        return self.folder / "lfads_train.sh"

    @property
    def posterior_mean_script(self) -> Path:
        """Script that samples the posterior means of a trained run."""
        return self.folder / "lfads_posterior_mean_sample.sh"

    @property
    def write_model_params_script(self) -> Path:
        """Script that writes the parameters of a trained run."""
        return self.folder / "lfads_write_model_params.sh"

    @property
    def scripts(self) -> tuple[Path, Path, Path]:
        """The three scripts above."""
        return self.train_script, self.posterior_mean_script, self.write_model_params_script

    @property
    def log(self) -> Path:
        """Everything the task of this run printed."""
        return self.folder / "lfads.out"

    @property
    def done(self) -> Path:
        """Empty marker: present means finished, and the queue skips the run."""
        return self.folder / "lfads.done"

    @property
    def posterior_mean_log(self) -> Path:
        """Everything the task printed that only samples posterior means."""
        return self.folder / "lfads.out.posteriorMeanOnly"

    @property
    def posterior_mean_done(self) -> Path:
        """Marker of the task that only samples posterior means."""
        return self.folder / "lfads.done.posteriorMeanOnly"

    @property
    def export(self) -> Path:
        """Folder of results in the formats of other tools."""
        return self.folder / "export"

    def input_h5(self, dataset_name: str) -> Path:
        """Give the link to the trainer's input of a dataset."""
        return self.lfads_input / input_file_name(dataset_name)

    def input_info(self, dataset_name: str) -> Path:
        """Give the link to what is known about the trainer's input of a dataset."""
        return self.lfads_input / input_info_name(dataset_name)


@dataclass(frozen=True)
class DataPaths:
    """Prepared data that runs of one data hash and run specification share.

    Parameters
    ----------
    folder : Path
        ``<collection>/data_<HASH>/<run name>``.
    """

    folder: Path

    def input_h5(self, dataset_name: str) -> Path:
        """Give the trainer's input of a dataset."""
        return self.folder / input_file_name(dataset_name)

    def input_info(self, dataset_name: str) -> Path:
        """Give what is known about the trainer's input of a dataset."""
        return self.folder / input_info_name(dataset_name)


@dataclass(frozen=True)
class CollectionPaths:
    """Files of a run collection.

    Parameters
    ----------
    folder : Path
        ``<root>/<collection>``.
    version : int, default 20171107
        The collection's version, which decides where data lie.
    """

    folder: Path
    version: int = LAST_VERSION_WITHOUT_RUN_NAME_IN_DATA + 1

    @property
    def summary(self) -> Path:
        """Text that describes every run."""
        return self.folder / "summary.txt"

    @property
    def tensorboard_script(self) -> Path:
        """Script that shows the training of all runs in TensorBoard."""
        return self.folder / "launch_tensorboard.sh"

    @property
    def queue_script(self) -> Path:
        """Script that trains all runs."""
        return self.folder / "run_lfadsqueue.py"

    @property
    def posterior_mean_queue_script(self) -> Path:
        """Script that only samples the posterior means of all runs."""
        return self.folder / "run_lfadsqueue_posteriorMeanOnly.py"

    @property
    def export(self) -> Path:
        """Folder of the results of all runs in the formats of other tools."""
        return self.folder / "posterior_means_export"

    def data(self, data_hash: str, run_name: str) -> Path:
        """Give the folder of the prepared data that runs with this hash share."""
        folder = self.data_root(data_hash)
        if self.version <= LAST_VERSION_WITHOUT_RUN_NAME_IN_DATA:
            return folder
        return folder / run_name

    def data_root(self, data_hash: str) -> Path:
        """Give the folder of all data prepared with this hash."""
        return self.folder / f"data_{data_hash}"

    def params(self, param_hash: str) -> Path:
        """Give the folder of all runs with these parameters."""
        return self.folder / f"param_{param_hash}"

    def run(self, param_hash: str, run_name: str) -> RunPaths:
        """Give the files of one run."""
        return RunPaths(self.params(param_hash) / run_name)
