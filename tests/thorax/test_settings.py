"""Settings: one file, typed and frozen; whatever is wrong is named by its path."""

import pytest
import yaml

from thorax.errors import SettingsError
from thorax.settings import Settings, find_home, load


def test_the_file_states_every_default_that_the_code_has(project):
    written = yaml.safe_load((project / "params.yaml").read_text(encoding="utf-8"))
    assert Settings.model_validate(written).model_dump(mode="json") == Settings().model_dump(mode="json")


def test_an_override_wins_over_the_file(home):
    settings = load(home, ["train.epochs=3", "data.findings=[Edema, Mass]", "data.uncertain.Edema=ones"])
    assert settings.train.epochs == 3
    assert settings.data.findings == ("Edema", "Mass")
    assert settings.data.uncertain.of("Edema") == "ones"
    assert settings.data.uncertain.of("Mass") == "zeros"


@pytest.mark.parametrize("name", ["50% #1", "[1]", "{a}", "~ b", "2026", "a: b"])
def test_a_folder_given_as_an_override_is_taken_as_it_is_typed(home, name):
    assert load(home, [f"data.root={name}/data"]).data_root == home / name / "data"
    assert load(home, [f"paths.var={name}"]).var == home / name


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("train.epoch=3", "train.epoch: unknown key. Did you mean epochs?"),
        ("trains.epochs=3", "trains: unknown key. Did you mean train?"),
        ("train.epochs=0", "train.epochs"),
        ("train.epochs=many", "train.epochs"),
        ("split.train=0.9", "must add up to 1"),
        ("data.findings=[Efusion]", "Did you mean Effusion?"),
        ("data.findings=[]", "No finding was chosen"),
        ("data.findings=[Edema, Edema]", "named twice: Edema"),
        ("data.uncertain.Edma=ones", "Did you mean Edema?"),
        ("data.uncertain.Edema=perhaps", "data.uncertain.Edema"),
        ("train.architectures=[densenet]", "Did you mean densenet121"),
        ("epochs", "section.key=value"),
        ("train.epochs.more=3", "holds a value, not a section"),
    ],
)
def test_what_is_wrong_is_named_with_what_was_expected(home, override, said):
    with pytest.raises(SettingsError) as refused:
        load(home, [override])
    assert said in str(refused.value)


def test_a_file_that_is_no_yaml_is_named(home):
    (home / "params.yaml").write_text("train: [", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"params\.yaml is not valid YAML"):
        load(home)


def test_settings_cannot_be_changed_afterwards(home):
    with pytest.raises(ValueError, match="frozen"):
        load(home).train.epochs = 5


def test_the_digest_follows_the_values_and_not_the_place(home, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    (other / "params.yaml").write_text((home / "params.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    assert load(home).digest() == load(other).digest()
    assert load(home).digest() != load(home, ["train.epochs=3"]).digest()


def test_the_project_is_found_from_below_and_missed_clearly(home, tmp_path_factory, monkeypatch):
    monkeypatch.delenv("THORAX_HOME", raising=False)
    (home / "deep" / "er").mkdir(parents=True)
    assert find_home(home / "deep" / "er") == home
    with pytest.raises(SettingsError, match="THORAX_HOME"):
        find_home(tmp_path_factory.mktemp("elsewhere"))


def test_an_architecture_takes_its_own_recipe_and_the_others_keep_theirs(home):
    train = load(home, ["train.overrides={resnet50: {epochs: 3, augment: {rotate: 0}}}", "train.epochs=9"]).train
    assert train.of("resnet50").epochs == 3
    assert train.of("resnet50").augment.rotate == 0
    assert train.of("resnet50").augment.shift == train.augment.shift
    assert train.of("custom_cnn").epochs == 9


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("{resnet50: {epoch: 4}}", r"overrides.resnet50.epoch: unknown key. Did you mean epochs"),
        ("{resnet50: {epochs: 0}}", r"overrides.resnet50.epochs: .*greater than or equal to 1"),
        ("{resnet5: {epochs: 4}}", r"train.overrides.resnet5"),
        ("{resnet50: {augment: {rotat: 4}}}", r"overrides.resnet50.augment.rotat: unknown key. Did you mean rotate"),
        ("{resnet50: {architectures: [custom_cnn]}}", r"not a setting that one architecture can take otherwise"),
    ],
)
def test_a_wrong_override_is_named_by_its_path(home, override, complaint):
    with pytest.raises(SettingsError, match=complaint):
        load(home, [f"train.overrides={override}"])
