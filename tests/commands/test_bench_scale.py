"""What the bench of scale reckons is right where it can be reckoned by hand, and what it measures runs through."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from commands.bench import scale, scale_model, scale_rows, simulate
from commands.bench.scale_fanout import simulate as fan_out
from commands.bench.scale_model import Cluster, Rates, Row
from commands.bench.scale_rows import Taken, growth, slope

ROW = Row(seconds=0.01, bytes=1000.0, start_seconds=5.0, start_bytes=1e6)
#: An image of 400 kB, decoded in 20 ms; a network of 10 GFLOP a step.
RATES = Rates(
    source_bytes=400e3,
    decode_seconds=0.02,
    tiny_seconds=0.001,
    hash_seconds=0.001,
    pair_seconds=0.0,
    store_bytes=50e3,
    answer_bytes=4000.0,
    rows={name: replace(ROW) for name in scale_model.SINGLE},
    flops={"densenet121": 10e9},
    train={"densenet121": 2.0},
    serve={"densenet121": 20.0},
)
#: Nothing is slow or lost, prices are round, a GPU reaches 1,000 images a second.
CLUSTER = Cluster(
    core_hour=1.0, gpu_hour=10.0, gpu_flops=100e12, gpu_share=0.1, epochs=10, pod_seconds=0.0, spread=0.0, slow=0.0,
    lost=0.0, shard=1000, exchange=1.0,
)  # fmt: skip


def step(name: str, images: int, **changes) -> scale_model.Step:
    [found] = [one for one in scale_model.plan(images, RATES, replace(CLUSTER, **changes)) if one.name == name]
    return found


def test_shards_are_shared_without_a_remainder_or_with_one() -> None:
    assert fan_out(12, 4, 10.0).seconds == pytest.approx(30)
    assert fan_out(13, 4, 10.0).seconds == pytest.approx(40)
    assert fan_out(13, 4, 10.0).busy == pytest.approx(130 / 160)
    assert fan_out(3, 8, 10.0, start=5.0).seconds == pytest.approx(15)  # more tasks than shards help nobody


def test_one_slow_task_is_waited_for() -> None:
    assert fan_out(8, 4, 10.0, slow=1.0, slowness=3.0).seconds == pytest.approx(60)
    mixed = fan_out(800, 8, 10.0, slow=0.3, slowness=3.0, seed=3)
    assert mixed.seconds == pytest.approx(3000)
    assert mixed.busy < 0.8


def test_a_lost_pod_repeats_only_its_shard() -> None:
    lost = fan_out(1000, 10, 10.0, lost=0.05, seed=1)
    assert 30 < lost.repeated < 80
    assert 1000 < lost.seconds < 1200
    assert fan_out(1000, 10, 10.0, lost=0.05, seed=1) == lost


def test_shards_of_uneven_length_keep_their_mean() -> None:
    assert fan_out(20_000, 1, 1.0, spread=0.5).seconds == pytest.approx(20_000, rel=0.02)
    with pytest.raises(ValueError, match="0 shards"):
        fan_out(0, 3, 1.0)


def test_preparing_worked_by_hand() -> None:
    # 100,000 images of 20 ms on 8 cores are 250 s; four tasks take a quarter.
    one = step("prepare", 100_000, disk=1e12, network=1e12)
    assert (one.seconds, one.bound) == (pytest.approx(250), "cores")
    assert one.cost == pytest.approx(8 * 250 / 3600)
    assert step("prepare", 100_000, tasks=4, disk=1e12, network=1e12).seconds == pytest.approx(62.5)
    # 450 kB an image through 100 MB/s are 450 s, whatever the tasks.
    full = step("prepare", 100_000, tasks=4, disk=100e6, network=1e12)
    assert (full.seconds, full.bound) == (pytest.approx(450), "disk")


def test_training_worked_by_hand() -> None:
    # 60,000 images ten times, and all of them once more at a third: 633,333 steps' worth at 1,000 a second.
    one = step("train", 100_000, disk=1e12, network=1e12)
    assert (one.seconds, one.bound) == (pytest.approx(633.33, rel=1e-4), "GPU")
    assert one.cost == pytest.approx(633.33 / 3600 * (8 + 10), rel=1e-4)
    assert step("train", 100_000, gpus=4, nodes=2, disk=1e12, network=1e12).seconds == pytest.approx(
        633.33 / 8, rel=1e-4
    )
    assert step("train", 100_000, gpus=0, disk=1e12, network=1e12).seconds == pytest.approx(633_333 / 16, rel=1e-4)
    # Nodes that lose a tenth of their rate with each doubling.
    four = step("train", 100_000, nodes=4, exchange=0.9, disk=1e12, network=1e12)
    assert four.seconds == pytest.approx(633.33 / (4 * 0.81), rel=1e-4)
    # A store of 3 GB that no memory holds is read once an epoch.
    slow = step("train", 100_000, memory=1e9, disk=10e6, network=1e12)
    assert (slow.seconds, slow.bound) == (pytest.approx(3000), "disk")


def test_one_process_is_short_of_memory_at_the_size_where_its_rows_fill_it() -> None:
    assert step("validate", 1_000_000, memory=1.1e9).bound == "cores"
    assert step("validate", 1_200_000, memory=1.1e9).bound == "memory"
    # The tiny files that rows were measured by are decoded elsewhere: 9 ms of 10 are left.
    assert step("validate", 100_000).seconds == pytest.approx(5 + 900)
    # A nanosecond a pair is ten seconds more.
    [other] = [
        one for one in scale_model.plan(100_000, replace(RATES, pair_seconds=1e-9), CLUSTER) if one.name == "validate"
    ]
    assert other.seconds == pytest.approx(5 + 900 + 10)


def test_a_suggestion_is_in_time_and_no_wider_than_it_must() -> None:
    wide = scale_model.suggest(10_000_000, RATES, replace(CLUSTER, disk=1e12, network=1e12), hours=1.0)
    times = {one.name: one.seconds for one in scale_model.plan(10_000_000, RATES, replace(wide))}
    assert times["prepare"] <= 3600 and times["train"] <= 3600
    assert wide.tasks == 8  # 25,000 s of one task
    assert (wide.gpus, wide.nodes) == (8, 4)  # 63,333 s of one GPU
    assert scale_model.suggest(1000, RATES, CLUSTER) == CLUSTER
    # Where the disk is what is full, tasks do not help and are not asked for.
    assert scale_model.suggest(10_000_000, RATES, replace(CLUSTER, disk=100e6), hours=1.0).tasks < 8


def test_the_kept_rates_give_the_tables_of_the_page() -> None:
    rates = Rates.read()
    assert set(rates.rows) == set(scale_model.SINGLE)
    assert set(rates.flops) == set(rates.train) == set(rates.serve)
    found = simulate.tables((1_000, 1_000_000))
    assert all(len(row) == len(table.columns) for table in found.values() for row in table.rows)
    steps = [row[0] for row in found[next(name for name in found if "1,000,000" in name)].rows]
    assert steps[:5] == ["ingest", "prepare", "validate", "preprocess", "train"]


def test_the_simulation_is_a_command() -> None:
    import typer

    app = typer.Typer()
    app.command()(simulate.simulate)
    run = CliRunner().invoke(app, ["--images", "5000", "--gpus", "0", "--json"])
    assert run.exit_code == 0, run.output
    [found] = json.loads(run.stdout)
    assert found["images"] == 5000 and found["cluster"]["gpus"] == 0
    wrong = CliRunner().invoke(app, ["--architecture", "resnet5"])
    assert "resnet50" in str(wrong.exception)


def test_an_exponent_is_found_with_its_interval() -> None:
    rows = [1000, 3000, 10_000, 30_000, 100_000]
    exact = growth(rows, [0.5 * one**1.2 for one in rows])
    assert exact.exponent == pytest.approx(1.2)
    assert exact.high - exact.low < 1e-6
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(200):
        noisy = growth(rows, [one * np.exp(rng.normal(0, 0.1)) for one in rows])
        inside += noisy.low <= 1 <= noisy.high
    assert 0.9 < inside / 200 < 0.99
    with pytest.raises(ValueError, match="three"):
        growth(rows[:2], [1, 2])
    assert slope([1, 2, 3], [11, 13, 15]) == pytest.approx(2)


def test_growth_beyond_linear_is_missed() -> None:
    taken = [
        Taken(name, rows, rows**1.2, rows**1.2, rows**0.9) for name in scale_rows.STEPS for rows in (10, 100, 1000)
    ]
    verdicts = {one.what: one.good for one in scale.grown_figures(taken)}
    assert verdicts["validate: processor time"] is False
    assert verdicts["validate: memory"] is True
    assert verdicts["ingest: processor time"] is None


@pytest.mark.slow
@pytest.mark.timeout(240)  # six steps, each in a process of its own
def test_every_step_is_measured_in_a_process_of_its_own(tmp_path: Path) -> None:
    scale_rows.prepare(tmp_path, 200)
    taken = [scale_rows.measure(tmp_path, name, 200) for name in scale_rows.STEPS]
    assert all(0 < one.work < 100 and one.mib > 20 for one in taken)
    assert (tmp_path / "store" / "store.json").is_file()
    many = [replace(one, rows=200 * 3**power) for one in taken for power in range(3)]
    scale.draw(many, tmp_path / "images" / "scaling.png")
    assert (tmp_path / "images" / "scaling.png").stat().st_size < 100_000


@pytest.mark.slow
def test_a_pass_of_one_process_and_of_two_is_measured(tmp_path: Path) -> None:
    from commands.bench import scale_cores

    found = scale_cores.cores(tmp_path / "phantoms", 8, 800, 1)
    assert [one.wanted for one in found].count("≥ 1.8") == len(scale_cores.SIDES)
    assert all(one.found is not None and one.found > 0 for one in found)
