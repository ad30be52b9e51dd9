"""Impossible parameters are refused by name."""

import pytest

from thorax.datasets.phantom.recipe import make_recipe
from thorax.datasets.phantom.shift import Shift, parse_shift
from thorax.errors import InputError


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"size": 31}, "size 31"),
        ({"size": 5000}, "size 5000"),
        ({"count": 0}, "count 0"),
        ({"seed": -1}, "seed -1"),
        ({"layout": "mimic"}, "layout 'mimic'"),
        ({"findings": "Efusion"}, "Did you mean Effusion"),
        ({"findings": "Fracture"}, "Unknown finding 'Fracture'"),
        ({"findings": "Effusion,Effusion"}, "named twice"),
        ({"severity": (0.5, 1.2)}, "severity"),
        ({"severity": (0.0, 1.0)}, "severity"),
        ({"severity": (0.9, 0.1)}, "the lower first"),
        ({"severity": (float("nan"), 0.1)}, "severity"),
        ({"prevalence": 1.5}, "prevalence 1.5"),
        ({"label_noise": 0.6}, "label_noise 0.6"),
        ({"uncertain": 0.1}, "--layout chexpert"),
        ({"layout": "chexpert", "findings": "Hernia"}, "no column for Hernia"),
        ({"findings": "Effusion", "shift": {"confounder": "Mass:0.9"}}, "cannot follow Mass"),
        ({"colour": "blue"}, "colour"),
    ],
)
def test_an_impossible_dataset_is_refused(arguments, named):
    with pytest.raises(InputError, match=r"cannot be made") as refusal:
        make_recipe(**arguments)
    assert named in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("noise", "key=value"),
        ("nose=3", "Did you mean noise"),
        ("noise=11", "noise=11"),
        ("exposure=0", "exposure=0"),
        ("ap_share=1.1", "ap_share=1.1"),
        ("scanner=vendor_b", "unknown scanner 'vendor_b'"),
        ("confounder=Effusion", "FINDING:STRENGTH"),
        ("confounder=Efusion:0.9", "Did you mean Effusion"),
        ("confounder=Effusion:0.2", "confounder=Effusion:0.2"),
        ("noise=nan", "noise=nan"),
        ("prevalence=inf", "prevalence=inf"),
    ],
)
def test_an_impossible_shift_is_refused_as_it_was_typed(text, named):
    with pytest.raises(InputError) as refusal:
        parse_shift([text])
    assert named in str(refusal.value)


def test_a_shift_given_twice_is_refused():
    with pytest.raises(InputError, match="given twice"):
        parse_shift(["noise=2", "noise=3"])


def test_shifts_are_read_as_they_are_typed():
    shift = parse_shift(["prevalence=2", "age=+20", "scanner=film", "confounder=pleural effusion:0.9"])
    assert (shift.prevalence, shift.age, shift.scanner) == (2, 20, "film")
    assert shift.confounder.finding == "Effusion"
    assert parse_shift([]) == Shift()
    assert Shift.model_validate(shift.model_dump(mode="json")) == shift
