"""The bench of monitoring runs through on small pools, and its tables say what was measured."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from stream_factory import embedded, stream

from commands.bench import monitor as bench_monitor
from commands.bench.monitor_detection import Drawer, power, quiet
from commands.bench.monitor_pools import PATIENT, mixed
from thorax.settings import Monitor

SETTINGS = Monitor(resamples=50, min_rows=100)


def pool(rows: int, seed: int, shift: float = 0.0) -> pd.DataFrame:
    frame = embedded(stream(rows, seed, shift), seed)
    return frame.assign(**{PATIENT: [f"p{seed}-{at // 2}" for at in range(rows)]})


def test_samples_share_no_patient_and_have_their_size() -> None:
    drawer = Drawer(pool(600, 1))
    first, second = drawer.apart((201, 150), np.random.default_rng(0))
    assert (len(first), len(second)) == (201, 150)
    assert not set(first["group"]) & set(second["group"])
    assert len(drawer.again(900, np.random.default_rng(0))) == 900


@pytest.mark.slow
def test_what_is_measured_is_told_in_tables() -> None:
    base = pool(900, 1)
    found = quiet(base, 300, 200, 4, SETTINGS, compared=1)
    assert (found.windows, found.compared) == (4, 1)
    assert found.crossed <= 0.5
    drifted = {"strong 3": pool(300, 2, shift=1.5), "half 1": mixed(base, pool(50, 3, shift=3.0), 0.5)}
    strong, half = power(base, drifted, 300, 2, SETTINGS)
    assert (strong.name, strong.small, strong.delay) == ("strong 3", 1.0, 200.0)
    assert half.large == 1.0
    assert bench_monitor._quiet_table([found], 0.01, 0.05).rows[0][:2] == ("200 images", "4 (1 by Evidently)")
    assert bench_monitor._power_table([strong, half]).rows[0][:4] == ("strong 3", "100%", "100%", "200")


@pytest.mark.slow
def test_the_tests_that_evidentlys_preset_would_choose_are_those_it_chooses() -> None:
    from thorax.monitoring.evidently import by_default, preset

    window, reference = stream(300, 1, 0.4), stream(1200, 2)
    window, reference = (
        frame.drop(columns=[c for c in frame if c.startswith("heat")]) for frame in (window, reference)
    )
    assert sum(by_default(window, reference).values()) == preset(window, reference)


@pytest.mark.slow
def test_a_log_to_time_is_one_that_reports_can_be_made_of(tmp_path: Path) -> None:
    from commands.bench.monitor_speed import measure, prepare

    prepare(tmp_path, 1200)
    found = measure(tmp_path, "verdict")
    assert found["columns"] >= 38
    assert 0 < found["seconds"] < found["whole"]
    assert found["mib"] > 50


def test_every_shift_of_the_bench_can_be_rendered() -> None:
    from commands.bench.monitor_pools import Pools
    from thorax.datasets.phantom.recipe import make_recipe
    from thorax.datasets.phantom.shift import parse_shift
    from thorax.settings import Settings

    strengths = Pools(Settings(), Path(), 400, 100)._strengths()
    assert len(strengths) == 8
    for texts in strengths.values():
        assert len(texts) == 3
        for text in texts:
            make_recipe(count=10, size=64, seed=1, findings="chexpert-report", shift=parse_shift([text]))


@pytest.mark.real_data
def test_who_is_in_the_real_images_is_read(real_data: Path) -> None:
    from commands.bench.monitor_pools import _people

    nih, hannover = _people(real_data / "nih256"), _people(real_data / "hannover")
    assert {row["view"] for row in nih.values()} <= {"PA", "AP", "unknown"}
    assert sum(row["age"] is not None for row in nih.values()) > 0.9 * len(nih)
    assert {row["sex"] for row in hannover.values()} <= {"F", "M", "unknown"}
    assert _people(real_data / "natural") == {}
