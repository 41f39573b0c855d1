"""What `prepare_for_lfads` has written has no errors, whatever it is about."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lfadsq import DatasetCounts, RunParams
from lfadsq.preflight.examination import check_collection
from lfadsq.preflight.findings import Severity
from lfadsq.preflight.input_infos import read_input_info

from .conftest import SpikesRun

OF_SMALL_DATA = {"silent_channels", "duplicate_channels", "high_counts", "empty_trials"}
OF_CONDITIONS = {"conditions_missing", "conditions_same", "conditions_nan", "conditions_lacking"}

names = st.text("ab .'\"[]ä🐒$;&|()-", min_size=1, max_size=8).map(lambda text: f"d{text}d")
conditions = st.sampled_from(
    [
        None,
        np.arange(24) % 3,
        np.where(np.arange(24) % 3, 1.0, np.nan),
        np.array(["left", "right", "up"] * 8),
        np.ones(24),
    ]
)


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    names=st.lists(names, min_size=1, max_size=3, unique=True),
    condition_id=conditions,
    num_channels=st.integers(1, 4),
    num_bins=st.integers(2, 30),
    num_inputs=st.integers(0, 2),
    output_dist=st.sampled_from(["poisson", "gaussian"]),
    ratio=st.integers(1, 5),
    batch_size=st.integers(1, 4),
    seed=st.integers(0, 99),
)
def test_what_was_prepared_has_no_errors(prepare, **drawn):
    class DrawnRun(SpikesRun):
        def generate_counts_for_dataset(self, dataset):
            rng = np.random.default_rng(drawn["seed"])
            shape = (24, drawn["num_channels"], drawn["num_bins"])
            is_poisson = drawn["output_dist"] == "poisson"
            inputs = rng.normal(size=(24, drawn["num_inputs"], drawn["num_bins"]))
            return DatasetCounts(
                counts=rng.poisson(0.1, shape) if is_poisson else rng.normal(size=shape),
                bin_ms=1.0,
                condition_id=drawn["condition_id"],
                external_inputs=inputs if drawn["num_inputs"] else None,
            )

    params = RunParams(
        spikeBinMs=2.0,
        c_batch_size=drawn["batch_size"],
        c_ext_input_dim=drawn["num_inputs"],
        c_output_dist=drawn["output_dist"],
        trainToTestRatio=drawn["ratio"],
    )
    with tempfile.TemporaryDirectory() as root:
        runs = prepare(Path(root), params, names=tuple(drawn["names"]), run_class=DrawnRun)
        report = check_collection(runs.path)
        errors = {group.code for group in report.of_severity(Severity.ERROR)}
        warnings = {group.code for group in report.of_severity(Severity.WARNING)}
        assert errors <= {"disk_space"}, repr(report)
        assert warnings <= OF_SMALL_DATA | {"disk_space_tight"}, repr(report)
        notes = {group.code for group in report.of_severity(Severity.NOTE)}
        assert notes <= OF_CONDITIONS, repr(report)
        assert report.num_inputs == len(drawn["names"]) + 1

        info = read_input_info(runs.runs[0].data_paths.input_info(drawn["names"][0]), whole=True)
        assert info.data_hash == runs.runs[0].data_hash
        given_ids = drawn["condition_id"]
        if given_ids is None:
            assert info.condition_id is None
        else:
            assert list(map(str, info.condition_id)) == [
                str(one) if isinstance(one, str) else str(float(one)) for one in given_ids
            ]
