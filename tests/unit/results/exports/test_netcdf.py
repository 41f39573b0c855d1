"""netCDF of a run: what xarray opens is what `to_xarray` gives, and the trainer's files hold."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from lfadsq.results.exports import exported_run

NUM_TRIALS = 25


@pytest.mark.parametrize(
    ("conditions", "gaussian"), [(None, True), ("numbers", False), ("text", False)]
)
def test_a_file_opens_as_what_was_exported(make_trained, monkeypatch, conditions, gaussian):
    monkeypatch.setattr(exported_run, "_BLOCK_BYTES", 1000)  # many pieces
    given = {
        None: None,
        "numbers": [float(n % 4) for n in range(NUM_TRIALS)],
        "text": [["left", "猿"][n % 2] for n in range(NUM_TRIALS)],
    }[conditions]
    trained = make_trained(conditions=given, gaussian=gaussian, controller=2)
    (path,) = trained.run.export("netcdf")
    assert path.name == "posteriorMeans_day 1.nc"
    expected = trained.run.load_posterior_means().to_xarray()
    with xr.open_dataset(path) as opened:
        xr.testing.assert_equal(opened.load(), expected)
        assert opened.factors.dims == ("trial", "time", "factor")
        assert opened.time.attrs["units"] == "ms"
        assert opened.attrs["kind"] == "posterior_sample_and_average"
        assert opened.attrs["bin_ms"] == 10
        assert ("condition" in opened.coords) == (conditions is not None)
        assert set(opened.coords) >= {"trial", "time", "split"}
        for name, variable in expected.variables.items():
            assert opened[name].attrs == variable.attrs
            assert opened[name].dtype.kind == variable.dtype.kind or variable.dtype.kind == "U"
        np.testing.assert_array_equal(
            opened.controller_outputs, trained.truth["day 1"]["controller_outputs"]
        )
