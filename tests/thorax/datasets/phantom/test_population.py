"""The sampled population has the rates, the company and the people of NIH's published table."""

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kstest, multivariate_normal

from thorax.datasets.phantom import rates
from thorax.datasets.phantom.population import DEVICE_RATE, Case, cases
from thorax.datasets.phantom.recipe import make_recipe
from thorax.findings import NIH14, SUPPORT_DEVICES


def table(drawn: list[Case]) -> pd.DataFrame:
    rows = [
        {"patient": case.patient, "view": case.subject.view, "age": case.subject.age, "sex": case.subject.sex}
        | {"marker": case.subject.marker, "test": case.test}
        | {name: name in case.subject.findings for name in (*NIH14, SUPPORT_DEVICES)}
        for case in drawn
    ]
    return pd.DataFrame(rows)


def draw(**arguments) -> list[Case]:
    return list(cases(make_recipe(**arguments)))


@pytest.fixture(scope="module")
def published() -> pd.DataFrame:
    """Ten thousand images at the published rates."""
    return table(draw(count=10_000, seed=5))


def test_rates_are_those_of_the_published_table(published):
    for name, rate in rates.published_rates().items():
        # Images of a patient are alike, which doubles the variance of independent draws.
        error = np.sqrt(2 * rate * (1 - rate) / len(published))
        assert published[name].mean() == pytest.approx(rate, abs=4 * error), name


def test_pairs_occur_together_as_often_as_published(published):
    joint = rates.joint_counts()
    single = np.diag(joint)
    sampled, true, weight = [], [], []
    for one, two in itertools.combinations(range(14), 2):
        expected = joint[one, two] / rates.IMAGES * len(published)
        if expected < 25:
            continue
        both = (published[NIH14[one]] & published[NIH14[two]]).mean()
        sampled.append(np.log(both / published[NIH14[one]].mean() / published[NIH14[two]].mean()))
        true.append(np.log(joint[one, two] * rates.IMAGES / single[one] / single[two]))
        weight.append(np.sqrt(3 / expected))  # images of a patient are alike
    assert len(sampled) > 30
    deviation = (np.array(sampled) - true) / np.array(weight)
    assert np.abs(deviation).max() < 4
    assert np.corrcoef(sampled, true)[0, 1] > 0.95
    # The gate sees independent findings: their log lifts would all be 0.
    assert np.abs(np.array(true) / weight).max() > 8


def test_views_sexes_and_ages_follow_the_findings(published):
    assert (published["view"] == "AP").mean() == pytest.approx(rates.AP / rates.IMAGES, abs=0.02)
    assert (published["sex"] == "M").mean() == pytest.approx(rates.MEN / rates.IMAGES, abs=0.02)
    assert published["age"].median() == pytest.approx(49, abs=1.5)
    # Edema is a bedside finding (88% AP in the table), fibrosis a standing one (16% AP) of the old.
    assert (published["view"][published["Edema"]] == "AP").mean() == pytest.approx(2027 / 2303, abs=0.06)
    assert (published["view"][published["Fibrosis"]] == "AP").mean() == pytest.approx(278 / 1686, abs=0.08)
    assert published["age"][published["Fibrosis"]].mean() > published["age"].mean() + 3


def test_patients_have_follow_ups_and_keep_their_sex_and_test_list(published):
    counts = published.groupby("patient").size()
    shares = counts.iloc[:-1].value_counts(normalize=True)
    expected = np.array(rates.IMAGES_OF_PATIENTS) / sum(rates.IMAGES_OF_PATIENTS)
    assert shares[1] == pytest.approx(expected[0], abs=0.02)
    assert shares[2] == pytest.approx(expected[1], abs=0.02)
    assert counts.max() == len(expected)
    assert (published.groupby("patient")[["sex", "test"]].nunique() == 1).all().all()
    assert published["test"].mean() == pytest.approx(0.228, abs=0.02)


def test_a_finding_tends_to_last_from_one_image_of_a_patient_to_the_next(published):
    following = published["patient"].eq(published["patient"].shift())
    before = published["Effusion"].shift(fill_value=False)
    lasting = published["Effusion"][following & before].mean()
    assert lasting > 2.5 * published["Effusion"].mean()


def test_support_devices_lie_where_beds_are(published):
    for view, rate in DEVICE_RATE.items():
        assert published[SUPPORT_DEVICES][published["view"] == view].mean() == pytest.approx(rate, abs=0.02)


@pytest.mark.real_data
def test_the_constants_are_what_the_label_table_holds(real_data):
    real = pd.read_csv(real_data / "labels" / "Data_Entry_2017_v2020.csv.gz", usecols=[1, 3, 4, 5, 6])
    present = np.array([[name in text.split("|") for name in NIH14] for text in real["Finding Labels"]]).astype(int)
    assert len(real) == rates.IMAGES
    assert (present.T @ present == rates.joint_counts()).all()
    ap, men = real["View Position"] == "AP", real["Patient Gender"] == "M"
    assert (ap.sum(), men.sum(), (ap & men).sum()) == (rates.AP, rates.MEN, rates.AP_MEN)
    assert tuple(present.T @ ap) == rates._AP and tuple(present.T @ men) == rates._MEN
    assert tuple(real["Patient Age"].quantile(rates.AGE_SHARES)) == rates.AGE_YEARS
    images = real["Patient ID"].value_counts().value_counts().sort_index()
    assert tuple(images.head(8)) == rates.IMAGES_OF_PATIENTS


def test_tetrachoric_correlations_match_the_bivariate_normal():
    first, second, correlation = np.array([0.1, 0.5, 0.02]), np.array([0.3, 0.5, 0.4]), np.array([0.6, -0.3, 0.1])
    from scipy.special import ndtri

    both = [
        multivariate_normal.cdf([ndtri(a), ndtri(b)], cov=[[1, c], [c, 1]])
        for a, b, c in zip(first, second, correlation, strict=True)
    ]
    assert rates.tetrachoric(first, second, np.array(both)) == pytest.approx(correlation, abs=1e-4)


def test_chosen_findings_are_boosted_by_the_stated_rule():
    few = table(draw(count=3000, seed=1, findings="chexpert-report"))
    assert few[["Effusion", "Edema", "Cardiomegaly"]].mean().to_numpy() == pytest.approx(0.30, abs=0.04)
    assert not few["Mass"].any()
    many = make_recipe(findings="nih14").rates()
    assert sum(many.values()) == pytest.approx(1.5, abs=0.2)
    assert many["Infiltration"] == pytest.approx(rates.published_rates()["Infiltration"])
    assert make_recipe(findings="Hernia", prevalence=0.5).rates() == {"Hernia": 0.5}


def test_severities_spread_evenly_from_barely_visible_to_plain():
    drawn = draw(count=3000, seed=3, findings="Effusion", severity=(0.2, 0.8))
    severities = [case.subject.findings["Effusion"] for case in drawn if "Effusion" in case.subject.findings]
    assert min(severities) >= 0.2 and max(severities) <= 0.8
    assert kstest(severities[::3], "uniform", args=(0.2, 0.6)).pvalue > 1e-3


def test_the_same_seed_draws_the_same_people_whatever_the_count():
    short, long = draw(count=50, seed=9), draw(count=80, seed=9)
    assert long[:50] == short
    assert draw(count=50, seed=10) != short
    assert len({case.subject.seed for case in long}) > 30


@pytest.mark.parametrize(
    ("shift", "field"),
    [
        ({"age": 20}, "age"),
        ({"exposure": 0.6}, "exposure"),
        ({"noise": 3}, "noise"),
        ({"blur": 2}, "blur"),
        ({"scanner": "film"}, "scanner"),
    ],
)
def test_a_shift_changes_its_own_parameter_and_nothing_else(shift, field):
    plain, shifted = draw(count=60, seed=2), draw(count=60, seed=2, shift=shift)
    for before, after in zip(plain, shifted, strict=True):
        assert replace(after.subject, **{field: getattr(before.subject, field)}) == before.subject
    values = [getattr(case.subject, field) for case in shifted]
    assert values != [getattr(case.subject, field) for case in plain]
    if field != "scanner":
        ratio = np.mean(values) / np.mean([getattr(case.subject, field) for case in plain])
        assert (ratio < 0.8) == (field == "exposure")


def test_prevalence_and_view_shift_keep_the_anatomy():
    plain = draw(count=1500, seed=2, findings="Effusion,Mass")
    double = draw(count=1500, seed=2, findings="Effusion,Mass", shift={"prevalence": 2})
    bedside = draw(count=1500, seed=2, findings="Effusion,Mass", shift={"ap_share": 0.9})
    assert [case.subject.seed for case in plain] == [case.subject.seed for case in double]
    assert table(double)["Effusion"].mean() / table(plain)["Effusion"].mean() == pytest.approx(2, abs=0.15)
    assert all(
        case.subject.findings.keys() <= more.subject.findings.keys() for case, more in zip(plain, double, strict=True)
    )
    assert (table(bedside)["view"] == "AP").mean() == pytest.approx(0.9, abs=0.02)
    assert (table(bedside)["Mass"] == table(plain)["Mass"]).all()


def test_a_confounder_makes_the_side_marker_follow_a_finding():
    plain = table(draw(count=2000, seed=4, findings="Effusion"))
    told = table(draw(count=2000, seed=4, findings="Effusion", shift={"confounder": "Effusion:0.9"}))
    agrees = (told["marker"] == "L") == told["Effusion"]
    assert agrees.mean() == pytest.approx(0.9, abs=0.02)
    left = plain.groupby("Effusion")["marker"].apply(lambda marks: (marks == "L").mean())
    assert left[True] == pytest.approx(left[False], abs=0.05)


def test_label_noise_misses_the_stated_share_and_keeps_the_rate():
    drawn = draw(count=4000, seed=6, findings="Effusion", label_noise=0.2)
    present = np.array(["Effusion" in case.subject.findings for case in drawn])
    labels = np.array([case.labels["Effusion"] for case in drawn])
    assert labels[present].mean() == pytest.approx(0.8, abs=0.04)
    assert labels.mean() == pytest.approx(present.mean(), abs=0.015)
    clean = draw(count=100, seed=6, findings="Effusion")
    assert [case.subject for case in clean] == [case.subject for case in drawn[:100]]
    assert all(case.labels["Effusion"] == ("Effusion" in case.subject.findings) for case in clean)
