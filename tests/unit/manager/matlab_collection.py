"""Run collections as LFADS Run Manager leaves them on disk, written without any code of lfadsq."""

from __future__ import annotations

import base64
import csv
import hashlib
import os
import shlex
import struct
from pathlib import Path

import h5py
import numpy as np
import scipy.io

TABLE = Path(__file__).parents[2] / "golden" / "data" / "run_params.csv"
PACKAGE = "LorenzExperiment"
HIDDEN = {
    "name",
    "version",
    "scaleStartStepWithDatasets",
    "alignmentApproach",
    "alignmentExtraArgs",
    "c_in_factors_dim",
    "setInFactorsMatchDataForSingleDataset",
}
CODES = {"double": "d", "uint16": "H", "uint32": "I", "int16": "h", "int8": "b", "logical": "?"}


def _parsed(text, matlab_class):
    if matlab_class == "char":
        return text
    if matlab_class == "cell":
        return []
    if matlab_class == "logical":
        return text == "true"
    return float(text) if "double" in matlab_class else int(text)


def published():
    """Class and default of every published parameter, and the hashes it enters."""
    with TABLE.open(newline="") as stream:
        return {
            row["name"]: (
                "double" if "double" in row["matlab_class"] else row["matlab_class"],
                _parsed(row["default"], row["matlab_class"]),
                row["in_param_hash"] == "yes",
                row["in_data_hash"] == "yes",
                row["passed_to_trainer"] == "yes",
            )
            for row in csv.DictReader(stream)
        }


def _stream(matlab_class, value):
    if matlab_class == "char":
        units = value.encode("utf-16-le")
        rows, columns, contents = (1 if value else 0), len(units) // 2, units
    elif matlab_class == "cell":
        rows, columns = (1 if value else 0), len(value)
        contents = b"".join(_stream(*element) for element in value)
    else:
        numbers = value if isinstance(value, list) else [value]
        if matlab_class == "uint32" and max(numbers) < 2**16:
            matlab_class = "uint16"
        rows, columns = 1, len(numbers)
        contents = struct.pack(f"<{len(numbers)}{CODES[matlab_class]}", *numbers)
    return matlab_class.encode() + struct.pack("<3Q", 2, rows, columns) + contents


def matlab_hash(values):
    """Hash {name: (class, value)} as DataHash does."""
    stream = b"struct" + struct.pack("<3Q", 2, 1, 1)
    for name in sorted(values):
        stream += name.encode() + _stream(*values[name])
    digest = base64.b64encode(hashlib.md5(stream).digest()).decode()
    return digest.replace("/", "_").replace("+", "-")[:6]


def shown(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return "[" + " ".join(f"{one:.15g}" for one in value) + "]"
    return str(value)


class Setting:
    """One RunParams: published values that differ, and own ones as (class, default, value)."""

    def __init__(self, *, name="", own=None, not_in_data=(), version=20180131, **values):
        self.name, self.own, self.values = name, own or {}, values
        table = published()
        hashed = {key: (table[key][0], value) for key, value in values.items()}
        hashed |= {
            key: (kind, value)
            for key, (kind, default, value) in self.own.items()
            if value != default
        }
        old = {"c_factors_dim"} if version < 20171107 else set()
        self.param_hash = matlab_hash(
            {key: pair for key, pair in hashed.items() if key not in table or table[key][2]}
        )
        self.data_hash = matlab_hash(
            {
                key: pair
                for key, pair in hashed.items()
                if key not in not_in_data and key not in old and (key not in table or table[key][3])
            }
        )
        self.differing = list(hashed)

    def all_values(self):
        table = published()
        listed = {key: self.values.get(key, row[1]) for key, row in table.items()}
        listed = {
            key: value for key, value in listed.items() if key not in HIDDEN or key in self.values
        }
        return listed | {key: value for key, (_, _, value) in self.own.items()}

    def summary(self, number):
        listed = self.all_values()
        label = f' "{self.name}"' if self.name else ""
        differences = " ".join(f"{key}={shown(listed[key])}" for key in self.differing)
        head = (
            f"    [{number} param_{self.param_hash} data_{self.data_hash}] "
            f"{PACKAGE}.RunParams{label} {differences}"
        )
        return [head, "", *(f"         {key}: {shown(value)}" for key, value in listed.items()), ""]

    def flags(self, num_datasets):
        texts = []
        for key, row in published().items():
            if not row[4]:
                continue
            value = self.values.get(key, row[1])
            if key in ("c_kl_increase_steps", "c_l2_increase_steps"):
                value *= num_datasets
            text = f"{value:f}" if isinstance(value, float) else shown(value)
            texts.append(f"--{key[2:]}={text}")
        return texts


class MatlabCollection:
    """A collection on disk. `runs` is {run name: [dataset names]}."""

    def __init__(self, folder, settings, runs, *, num_trials=30, links="relative", old=False):
        self.folder, self.settings, self.runs, self.old = folder, settings, runs, old
        self.num_trials = num_trials
        folder.mkdir(parents=True)
        for setting in settings:
            for run in runs:
                self._write_data(setting, run)
                self._write_run(setting, run, links)
        self.write_summary()
        self.write_queue_script()

    def data_folder(self, setting, run):
        folder = self.folder / f"data_{setting.data_hash}"
        return folder if self.old else folder / run

    def run_folder(self, setting, run):
        return self.folder / f"param_{setting.param_hash}" / run

    def inds(self):
        trials = np.arange(1, self.num_trials + 1)
        return trials[trials % 5 != 1], trials[trials % 5 == 1]

    def counts(self, dataset):
        """Spikes (trial, time, channel) in bins of 1 ms."""
        rng = np.random.default_rng(len(dataset))
        return rng.poisson(0.3, (self.num_trials, 20, 3)).astype(np.int64)

    def _write_data(self, setting, run):
        folder = self.data_folder(setting, run)
        folder.mkdir(parents=True, exist_ok=True)
        train, valid = self.inds()
        bin_ms = int(setting.values.get("spikeBinMs", 2.0))
        for dataset in self.runs[run]:
            counts = self.counts(dataset)
            num_bins = 20 // bin_ms
            binned = counts[:, : num_bins * bin_ms].reshape(self.num_trials, num_bins, bin_ms, 3)
            binned = binned.sum(axis=2)
            info = {
                "trainInds": train.astype(float)[None],
                "validInds": valid.astype(float)[None],
                "paramInputDataHash": setting.data_hash,
                "seq_timeVector": np.arange(20.0)[None],
                "seq_binSizeMs": 1.0,
                "conditionId": np.ones((self.num_trials, 1)),
                "counts": counts.transpose(2, 1, 0).astype(float),
            }
            scipy.io.savemat(folder / f"inputInfo_{dataset}.mat", info)
            with h5py.File(folder / f"lfads_{dataset}.h5", "w") as stored:
                for split, inds in (("train", train), ("valid", valid)):
                    stored[f"{split}_data"] = binned[inds - 1]
                    stored[f"{split}_inds"] = inds.astype(float)

    def _write_run(self, setting, run, links):
        folder = self.run_folder(setting, run)
        inputs = folder / "lfadsInput"
        inputs.mkdir(parents=True)
        (folder / "lfadsOutput").mkdir()
        for dataset in self.runs[run]:
            for name in (f"inputInfo_{dataset}.mat", f"lfads_{dataset}.h5"):
                target = self.data_folder(setting, run) / name
                to = target if links == "absolute" else os.path.relpath(target, inputs)
                (inputs / name).symlink_to(to)
        self._write_script(setting, run)

    def _write_script(self, setting, run):
        folder = self.run_folder(setting, run)
        program = "python $(which run_lfads.py)"
        quoted = shlex.quote(str(folder))
        places = f"--data_dir={quoted}/lfadsInput --data_filename_stem=lfads "
        places += f"--lfads_save_dir={quoted}/lfadsOutput"
        flags = setting.flags(len(self.runs[run]))
        without_batch = [flag for flag in flags if not flag.startswith("--batch_size=")]
        num_samples = int(setting.values.get("num_samples_posterior", 512))
        calls = [
            f"{program} {places} {' '.join(flags)} --tf_debug_cli=false --kind=train",
            f"{program} {places} {' '.join(without_batch)} --batch_size={num_samples} "
            "--checkpoint_pb_load_name=checkpoint_lve --kind=posterior_sample_and_average",
            f"{program} {places} {' '.join(flags)} --checkpoint_pb_load_name=checkpoint_lve "
            "--kind=write_model_params",
        ]
        script = folder / "lfads_train.sh"
        script.write_text("#!/bin/bash\n\n" + " && \\\n".join(calls) + "\n", encoding="utf-8")

    def write_summary(self):
        datasets = sorted({one for names in self.runs.values() for one in names})
        lines = [
            f'{PACKAGE}.RunCollection "{self.folder.name}" '
            f"({len(self.settings) * len(self.runs)} runs total)",
            f"  Path: {self.folder}",
            f'  Dataset Collection "lab" ({len(datasets)} datasets) in {self.folder.parent}/data',
            "",
            "  ------------------------",
            "",
            f"  {len(self.runs)} Run Specifications:",
            "",
        ]
        for number, (run, names) in enumerate(self.runs.items(), start=1):
            lines.append(
                f'    [runSpec {number}] {PACKAGE}.RunSpec "{run}" ({len(names)} datasets)'
            )
            for index, dataset in enumerate(names, start=1):
                lines.append(f'      [ds {index}] {PACKAGE}.Dataset "{dataset}"')
            lines.append("")
        lines += [
            "  ------------------------",
            "",
            f"  {len(self.settings)} Parameter Settings:",
            "",
        ]
        for number, setting in enumerate(self.settings, start=1):
            lines += setting.summary(number)
        self.summary.write_text("\n".join(lines), encoding="utf-8")

    @property
    def summary(self):
        return self.folder / "summary.txt"

    def write_queue_script(self):
        tasks = []
        for setting in self.settings:
            for run in self.runs:
                folder = self.run_folder(setting, run)
                name = f"lfads_param_{setting.param_hash}_run{len(tasks) + 1:03d}_{run}"
                script, out = (
                    shlex.quote(str(folder / file)) for file in ("lfads_train.sh", "lfads.out")
                )
                task = {
                    "name": name.replace(".", "_"),
                    "command": f"bash {script} 2>&1 | tee {out}",
                    "memory_req": 1500,
                    "outfile": str(folder / "lfads.out"),
                    "donefile": str(folder / "lfads.done"),
                }
                tasks.append(f"    {task!r},\n")
        tensorboard = self.folder / "launch_tensorboard.sh"
        tensorboard.write_text("#!/bin/bash\nexec sleep 600\n", encoding="utf-8")
        (self.folder / "run_lfadsqueue.py").write_text(
            "#!/usr/bin/env python\n\nimport lfadsqueue as lq\n\n"
            f"queue_name = {self.folder.name!r}\n"
            f"tensorboard_script = {str(self.folder / 'launch_tensorboard.sh')!r}\n"
            "gpu_list = []\n\n"
            f"task_specs = [{''.join(tasks)}]\n\n"
            "tasks = lq.run_lfads_queue(queue_name, tensorboard_script, task_specs, "
            "gpu_list=gpu_list, one_task_per_gpu=False)\n",
            encoding="utf-8",
        )

    def write_results(self, setting, run, dataset, kind="posterior_sample_and_average"):
        """Posterior means of which every value is the number of its trial."""
        num_bins = 20 // int(setting.values.get("spikeBinMs", 2.0))
        shapes = {
            "output_dist_params": (num_bins, 3),
            "factors": (num_bins, 2),
            "gen_states": (num_bins, 4),
            "gen_ics": (4,),
            "post_g0_mean": (2,),
            "post_g0_logvar": (2,),
            "prior_g0_mean": (2,),
            "prior_g0_logvar": (2,),
            "costs": (),
            "nll_bound_vaes": (),
            "nll_bound_iwaes": (),
            "train_steps": (),
        }
        output = self.run_folder(setting, run) / "lfadsOutput"
        for split, inds in zip(("train", "valid"), self.inds(), strict=True):
            with h5py.File(output / f"model_runs_{dataset}.h5_{split}_{kind}", "w") as stored:
                for key, shape in shapes.items():
                    each = inds.astype(float).reshape(-1, *([1] * len(shape)))
                    stored[key] = np.broadcast_to(each, (len(inds), *shape))
        with (output / "fitlog.csv").open("w") as stream:
            stream.write(
                "epoch,1, step,4, total,12.00,13.00,       recon,10.00,11.00, kl,1.00,1.50, "
                "l2,0.50000,       klweight,0.10, l2weight,0.10\n"
            )
