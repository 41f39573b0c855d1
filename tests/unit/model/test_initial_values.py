"""Every variable starts as it does in the original trainer."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from lfadsq.model.config import DatasetConfig, ModelConfig
from lfadsq.model.parameters import Alignment, initial_parameters

CHANNELS, FACTORS, GEN, IC, ENC, CI, CON, CO, EXT = 70, 60, 90, 55, 65, 50, 75, 40, 30
CELLS, GEN_INPUT, GEN_RECURRENT = 2.0, 3.0, 0.5

DEVIATIONS = {
    r"x_2_infac_.*/W": 1 / np.sqrt(CHANNELS),
    r"glm/fac_2_logrates_.*/W": 1 / np.sqrt(FACTORS),
    r"ic_enc_(fwd|rev)/GRU/Gates/xh_2_ru/W": CELLS / np.sqrt(FACTORS + ENC),
    r"ic_enc_(fwd|rev)/GRU/Candidate/xrh_2_c/W": 1 / np.sqrt(FACTORS + ENC),
    r"ci_enc_(fwd|rev)/GRU/Gates/xh_2_ru/W": CELLS / np.sqrt(FACTORS + CI),
    r"ci_enc_(fwd|rev)/GRU/Candidate/xrh_2_c/W": 1 / np.sqrt(FACTORS + CI),
    r"z/ic_enc_2_post_g0/(mean|logvar)/W": 1 / np.sqrt(2 * ENC),
    r"gen/g0_2_gen_ic/W": 1 / np.sqrt(IC),
    r"gen/gen_2_fac/W": 1 / np.sqrt(GEN),
    r"gen/GenGRU/(Gates/x_2_ru|Candidate/x_2_c)/W": GEN_INPUT / np.sqrt(CO + EXT),
    r"gen/GenGRU/(Gates/h_2_ru|Candidate/rh_2_c)/W": GEN_RECURRENT / np.sqrt(GEN),
    r"con/GenGRU/(Gates/x_2_ru|Candidate/x_2_c)/W": CELLS / np.sqrt(2 * CI + FACTORS),
    r"con/GenGRU/(Gates/h_2_ru|Candidate/rh_2_c)/W": CELLS / np.sqrt(CON),
    r"con/con_to_post_co/(mean|logvar)/W": 1 / np.sqrt(CON),
}
CONSTANTS = {
    r"z/prior_g0/logvar": np.log(0.2),
    r"z/u_prior_ar1/logatau": np.log(7.0),
    r"z/u_prior_ar1/logevars": np.log(0.3),
    r".*/b|z/prior_g0/mean|con/c0|.*_enc_t0_.*": 0.0,
}


def large_model(**changes: Any) -> ModelConfig:
    settings = {
        "factors_dim": FACTORS,
        "gen_dim": GEN,
        "ic_dim": IC,
        "ic_enc_dim": ENC,
        "ci_enc_dim": CI,
        "con_dim": CON,
        "co_dim": CO,
        "ext_input_dim": EXT,
        "inject_ext_input_to_gen": True,
        "cell_weight_scale": CELLS,
        "gen_cell_input_weight_scale": GEN_INPUT,
        "gen_cell_rec_weight_scale": GEN_RECURRENT,
        "ic_prior_var_scale": 0.2,
        "prior_ar_atau": 7.0,
        "prior_ar_nvar": 0.3,
        **changes,
    }
    datasets = (DatasetConfig("a.h5", CHANNELS), DatasetConfig("b.h5", CHANNELS))
    return ModelConfig(datasets, num_steps=3, **settings)


def test_every_variable_has_the_published_scale_or_constant() -> None:
    values = initial_parameters(large_model(), seed=0)
    for name, value in values.items():
        tail = name.removeprefix("LFADS/")
        found = [scale for pattern, scale in DEVIATIONS.items() if re.fullmatch(pattern, tail)]
        fixed = [constant for pattern, constant in CONSTANTS.items() if re.fullmatch(pattern, tail)]
        assert len(found) + len(fixed) == 1, name
        if fixed:
            np.testing.assert_allclose(value, fixed[0], rtol=1e-6, err_msg=name)
            continue
        # The standard error of the deviation of n normal draws is 1 / sqrt(2 n) of it.
        tolerance = 5 / np.sqrt(2 * value.size)
        assert value.std() == pytest.approx(found[0], rel=tolerance), name
        assert abs(value.mean()) < 5 * found[0] / np.sqrt(value.size), name
        # Not truncated: of so many draws some are beyond three deviations.
        assert np.abs(value).max() > 3 * found[0], name
    drawn = [value.ravel()[:20] for name, value in values.items() if name.endswith("/W")]
    assert len({tuple(start / start[0]) for start in drawn}) == len(drawn)


def test_the_gaussian_variance_starts_at_e_whatever_the_factors() -> None:
    values = initial_parameters(large_model(output_dist="gaussian"), seed=0)
    assert (values["LFADS/glm/fac_2_logvars_a.h5/W"] == 0).all()
    assert (values["LFADS/glm/fac_2_logvars_a.h5/b"] == 1).all()
    assert values["LFADS/glm/fac_2_means_a.h5/W"].std() > 0


@pytest.mark.parametrize("output_dist", ["poisson", "gaussian"])
def test_an_alignment_seeds_read_in_and_read_out_of_its_dataset_only(output_dist: str) -> None:
    """A dataset without a bias does not get that of another, as it does in the original."""
    stream = np.random.default_rng(1)
    matrices = stream.standard_normal((2, CHANNELS, FACTORS)).astype(np.float32)
    means = stream.random(CHANNELS).astype(np.float32)
    config = large_model(output_dist=output_dist)
    alignments = {"a.h5": Alignment(matrices[0], means), "b.h5": Alignment(matrices[1], None)}
    values = initial_parameters(config, 0, alignments)
    head = "logrates" if output_dist == "poisson" else "means"
    for name, matrix, bias in (("a.h5", matrices[0], means), ("b.h5", matrices[1], means * 0)):
        readin, readout = f"LFADS/x_2_infac_{name}", f"LFADS/glm/fac_2_{head}_{name}"
        np.testing.assert_array_equal(values[f"{readin}/W"], matrix)
        expected = -bias[np.newaxis].astype(float) @ matrix
        np.testing.assert_allclose(values[f"{readin}/b"], expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(values[f"{readout}/W"], matrix.T)
        np.testing.assert_array_equal(values[f"{readout}/b"], bias[np.newaxis])
    others = initial_parameters(config, 0)
    untouched = [name for name in others if "infac" not in name and head not in name]
    for name in untouched:
        np.testing.assert_array_equal(values[name], others[name], err_msg=name)
