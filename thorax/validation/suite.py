"""What is expected of a dataset: every expectation, once, with its bounds from `params.yaml`."""

from collections.abc import Iterator

from thorax.errors import SettingsError, nearest
from thorax.manifest import COLUMNS, SEXES, VIEWS
from thorax.settings import Data, Validation
from thorax.validation.engine import Expectation
from thorax.validation.result import Severity

_NULL, _BETWEEN = "ExpectColumnValuesToBeNull", "ExpectColumnValuesToBeBetween"


def expectations(data: Data, bounds: Validation) -> list[Expectation]:
    """Return every expectation, in the order of the page; which of them apply depends on the tables at hand."""
    return [
        *_table(bounds),
        *_findings(data, bounds),
        *_patients(bounds),
        *_leakage(bounds),
        *_pictures(bounds),
        *_boxes(bounds),
    ]


def severities(known: list[Expectation], bounds: Validation) -> dict[str, Severity]:
    """Return each expectation's severity: critical if `validation.critical` names it and `warn_only` does not.

    Raises:
        SettingsError: one of the lists names no expectation.
    """
    names = [expectation.name for expectation in known]
    for key in ("critical", "warn_only"):
        for name in getattr(bounds, key):
            if name not in names:
                raise SettingsError(f"validation.{key} names no expectation: {name!r}.", nearest(name, names))
    stops = set(bounds.critical) - set(bounds.warn_only)
    return {name: "critical" if name in stops else "warning" for name in names}


def _table(bounds: Validation) -> Iterator[Expectation]:
    low, high = bounds.age
    mostly = {"mostly": 1 - bounds.max_faulty_share}
    columns = {"column_set": list(COLUMNS), "exact_match": False}
    yield Expectation(
        "columns_complete", "table", "ExpectTableColumnsToMatchSet", "The manifest has every column.", "", columns
    )
    yield Expectation(
        "table_not_empty",
        "table",
        "ExpectTableRowCountToBeBetween",
        "The manifest has at least one image.",
        "",
        {"min_value": 1},
    )
    for column, noun in (("image_id", "image_ids"), ("patient_id", "patients")):
        yield Expectation(
            f"{noun}_present", "image", "ExpectColumnValuesToNotBeNull", f"Every row has a {column}.", column
        )
    for column, noun in (("image_id", "image_ids"), ("path", "paths")):
        yield Expectation(
            f"{noun}_unique", "image", "ExpectColumnValuesToBeUnique", f"No {column} appears twice.", column
        )
    yield Expectation(
        "patients_as_named", "image", _NULL, "The patient id agrees with a file name in NIH's form.", "misnamed"
    )
    yield Expectation("paths_inside", "image", _NULL, "Every path leads to a file below the data root.", "path_fault")
    yield Expectation(
        "views_known",
        "image",
        "ExpectColumnValuesToBeInSet",
        f"Every view is {', '.join(VIEWS[:-1])} or {VIEWS[-1]}.",
        "view",
        {"value_set": list(VIEWS)},
    )
    yield Expectation(
        "sexes_known",
        "image",
        "ExpectColumnValuesToBeInSet",
        f"Every sex is {', '.join(SEXES[:-1])} or {SEXES[-1]}.",
        "sex",
        {"value_set": list(SEXES)},
    )
    ages = {"min_value": low, "max_value": high}
    yield Expectation("ages_in_range", "image", _BETWEEN, f"Every age is {low:g} to {high:g} years.", "age", ages)
    yield Expectation(
        "ages_mostly_in_range",
        "image",
        _BETWEEN,
        f"At most {bounds.max_faulty_share:.0%} of the ages are outside {low:g} to {high:g} years.",
        "age",
        ages | mostly,
    )
    yield Expectation("labels_known", "image", _NULL, "Every label is 1, 0, −1 or empty.", "label_fault")
    yield Expectation(
        "labels_consistent",
        "image",
        _NULL,
        "No image has findings that exclude each other, such as No_Finding and a finding.",
        "contradiction",
    )
    yield Expectation(
        "labels_mostly_consistent",
        "image",
        _NULL,
        f"At most {bounds.max_faulty_share:.0%} of the images have findings that exclude each other.",
        "contradiction",
        mostly,
    )
    yield Expectation(
        "files_present", "missing", _NULL, "Every row of the published table has its image file.", "fault"
    )
    yield Expectation("files_listed", "unlisted", _NULL, "Every image file has a row in the published table.", "fault")


def _findings(data: Data, bounds: Validation) -> Iterator[Expectation]:
    least = bounds.min_positives
    yield Expectation("findings_published", "class", _NULL, "The dataset has labels for every chosen finding.", "fault")
    yield Expectation(
        "positives_enough",
        "finding",
        _BETWEEN,
        f"Every chosen finding has at least {least} positives.",
        "positives",
        {"min_value": least},
    )
    yield Expectation(
        "negatives_enough",
        "finding",
        _BETWEEN,
        f"Every chosen finding is absent in at least {least} images.",
        "others",
        {"min_value": least},
    )
    yield Expectation(
        "prevalence_above_floor",
        "finding",
        _BETWEEN,
        f"Every chosen finding is present in at least {bounds.prevalence_floor:.1%} of the images.",
        "prevalence",
        {"min_value": bounds.prevalence_floor},
    )
    yield Expectation(
        "uncertain_share",
        "finding",
        _BETWEEN,
        f"At most {bounds.max_uncertain_share:.0%} of a finding's labels are uncertain.",
        "uncertain_share",
        {"max_value": bounds.max_uncertain_share},
    )
    if data.not_mentioned == "ignore":
        yield Expectation(
            "missing_share",
            "finding",
            _BETWEEN,
            f"At most {bounds.max_missing_share:.0%} of a finding's labels are empty.",
            "missing_share",
            {"max_value": bounds.max_missing_share},
        )
    yield Expectation(
        "prevalence_as_before",
        "drift",
        _BETWEEN,
        f"Every finding's prevalence is within a factor of {bounds.max_prevalence_change:g} of the reference revision.",
        "change",
        {"max_value": bounds.max_prevalence_change},
    )


def _patients(bounds: Validation) -> Iterator[Expectation]:
    yield Expectation("patients_of_one_sex", "patient", _NULL, "Every patient has one sex.", "two_sexes")
    yield Expectation(
        "patients_of_one_lifetime",
        "patient",
        _BETWEEN,
        f"The ages of a patient are within {bounds.max_age_span:g} years.",
        "age_span",
        {"max_value": bounds.max_age_span},
    )
    yield Expectation(
        "patients_enough",
        "split",
        _BETWEEN,
        f"Every split has at least {bounds.min_patients} patients.",
        "patients",
        {"min_value": bounds.min_patients},
    )


def _leakage(bounds: Validation) -> Iterator[Expectation]:
    yield Expectation(
        "patients_in_one_split", "patient", _BETWEEN, "No patient is in two splits.", "splits", {"max_value": 1}
    )
    yield Expectation(
        "splits_show_findings",
        "split_finding",
        _BETWEEN,
        "Every split has a positive of every finding.",
        "positives",
        {"min_value": 1},
    )
    yield Expectation(
        "files_unique", "image", "ExpectColumnValuesToBeUnique", "No two images are the same file (SHA-256).", "sha256"
    )
    near = f"within {bounds.near_bits} of 256 bits of the perceptual hash"
    yield Expectation(
        "looks_in_one_split", "pair", _NULL, f"No near-duplicate images ({near}) are in two splits.", "torn"
    )
    yield Expectation(
        "looks_of_one_patient", "pair", _NULL, f"No near-duplicate images ({near}) belong to two patients.", "strangers"
    )
    yield Expectation(
        "paths_tell_nothing", "image", _NULL, "No path contains the name of a finding.", "finding_in_path"
    )


def _pictures(bounds: Validation) -> Iterator[Expectation]:
    yield Expectation("files_readable", "picture", _NULL, "Every file can be read.", "unreadable")
    yield Expectation(
        "files_mostly_readable",
        "picture",
        _NULL,
        f"At most {bounds.max_unreadable_share:.1%} of the files cannot be read.",
        "unreadable",
        {"mostly": 1 - bounds.max_unreadable_share},
    )
    yield Expectation("files_as_listed", "picture", _NULL, "Width and height agree with the manifest.", "resized")
    yield Expectation("files_unchanged", "picture", _NULL, "No file changed since it was ingested.", "changed")
    for name, check, meaning in (
        ("pictures_large_enough", "size", "Every image is large enough."),
        ("pictures_not_blank", "blank", "No image is blank."),
        ("pictures_with_depth", "levels", "Every image has enough grey levels."),
        ("pictures_not_saturated", "saturated", "No image is mostly pure black or white."),
        ("pictures_grey", "colour", "Every image is greyscale."),
        ("pictures_not_inverted", "inverted", "No image is inverted."),
        ("pictures_upright", "rotated", "No image is rotated."),
        ("pictures_of_chests", "chest", "Every image looks like a frontal chest radiograph."),
    ):
        yield Expectation(name, "picture", _NULL, meaning, check)
    yield Expectation(
        "pictures_mostly_sound",
        "picture",
        _NULL,
        f"At most {bounds.max_unsound_share:.0%} of the images fail any of these image checks.",
        "unsound",
        {"mostly": 1 - bounds.max_unsound_share},
    )


def _boxes(bounds: Validation) -> Iterator[Expectation]:
    mostly = {"mostly": 1 - bounds.max_faulty_share}
    share = f"{bounds.max_faulty_share:.0%}"
    yield Expectation("boxes_inside", "box", _NULL, "Every box is inside its image and has an area.", "outside")
    yield Expectation(
        "boxes_mostly_inside",
        "box",
        _NULL,
        f"At most {share} of the boxes extend outside their image.",
        "outside",
        mostly,
    )
    yield Expectation("boxes_of_images", "box", _NULL, "Every box belongs to an image of the manifest.", "unlisted")
    yield Expectation("boxes_of_findings", "box", _NULL, "Every box names a finding of the dataset.", "unknown")
    yield Expectation("boxes_unique", "box", _NULL, "No box appears twice.", "repeated")
    yield Expectation(
        "boxes_labelled", "box", _NULL, "The finding of every box is positive in the image's labels.", "unlabelled"
    )
    yield Expectation(
        "boxes_mostly_labelled",
        "box",
        _NULL,
        f"At most {share} of the boxes show a finding that is not positive in the image's labels.",
        "unlabelled",
        mostly,
    )
    yield Expectation(
        "boxes_spread",
        "box_extent",
        _BETWEEN,
        "Boxes reach into the right and the lower half of the images, as they would in the right unit.",
        "reach",
        {"min_value": 0.6, "max_value": 1.1},
    )
