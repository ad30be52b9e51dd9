"""Deletion, insertion and redrawn weights over a test split, seen to pass and to fail."""

from pathlib import Path

import numpy as np
import pytest
from graph_factory import write_graph

from thorax.evaluation.faithfulness import choose_cases, measure_faithfulness
from thorax.evaluation.figures_of_merit import Scores
from thorax.explain.graph import Graph

OPTIONS = {"cases": 12, "replicates": 100, "confidence": 0.95}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    write_graph(tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


@pytest.fixture
def bright() -> tuple[np.ndarray, Scores]:
    """Images with a bright patch, which the network's finding 0 looks for."""
    random = np.random.default_rng(0)
    images = random.integers(0, 60, (30, 64, 64), dtype=np.uint8)
    for image in images:
        top, left = random.integers(0, 6, 2) * 8
        image[top : top + 16, left : left + 16] += 180
    truth = np.zeros((30, 3))
    truth[:, 0] = 1
    p = np.full((30, 3), 0.6)
    return images, Scores(truth, p, p, np.full(3, 0.5), np.arange(30) // 2)


def test_a_map_that_shows_what_was_used_beats_a_random_one(model: Path, bright) -> None:
    images, scores = bright
    found = measure_faithfulness(model, images, scores, **OPTIONS)
    assert found["cases"] == 12
    assert found["deletion"]["high"] < found["deletion_random"]["low"]
    assert found["insertion"]["low"] > found["insertion_random"]["high"]
    assert found["gain"]["low"] > 0
    assert found["sane"]
    difference = sum(
        sign * found[name]["value"]
        for name, sign in (("insertion", 1), ("deletion", -1), ("insertion_random", -1), ("deletion_random", 1))
    )
    assert found["gain"]["value"] == pytest.approx(difference)


def test_a_map_that_does_not_hang_on_the_weights_fails_the_sanity_check(model: Path, bright, monkeypatch) -> None:
    images, scores = bright
    # A "network" whose map is the image itself, whatever its weights: an edge detector passes for an explanation.
    monkeypatch.setattr("thorax.explain.graph.randomised_graph", lambda path, seed: path.read_bytes())
    found = measure_faithfulness(model, images, scores, **OPTIONS)
    assert found["redrawn"]["value"] == pytest.approx(1.0)
    assert not found["sane"]


def test_a_map_of_another_finding_is_not_better_than_chance(model: Path, bright, monkeypatch) -> None:
    images, scores = bright
    whole = Graph.__call__

    def shuffled(self: Graph, batch: np.ndarray):
        answer = whole(self, batch)
        return answer._replace(maps=answer.maps[:, :, ::-1, ::-1])

    monkeypatch.setattr(Graph, "__call__", shuffled)
    assert measure_faithfulness(model, images, scores, **OPTIONS)["gain"]["low"] <= 0


def test_cases_are_of_all_findings_found_ones_first_and_no_image_twice() -> None:
    truth = np.zeros((9, 2))
    truth[:6, 0] = 1
    truth[5:, 1] = 1
    called = np.zeros((9, 2), dtype=bool)
    called[[2, 3, 8], [0, 0, 1]] = True
    cases = choose_cases(truth, called, 4, 0)
    assert [finding for _, finding in cases] == [0, 1, 0, 1]
    assert {cases[0][0], cases[2][0]} == {2, 3}
    assert cases[1][0] == 8
    everything = choose_cases(truth, called, 50, 0)
    assert len({row for row, _ in everything}) == len(everything) == 9


def test_without_a_positive_there_is_nothing_to_try(model: Path, bright) -> None:
    images, scores = bright
    none = Scores(scores.truth * 0, scores.probabilities, scores.raw, scores.thresholds, scores.patients)
    assert measure_faithfulness(model, images, none, **OPTIONS) is None
