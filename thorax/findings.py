"""The vocabulary of findings, and the spellings under which datasets publish them."""

from collections.abc import Iterable, Sequence

from thorax.errors import InputError, nearest

NO_FINDING = "No_Finding"
OTHER_FINDING = "Other_Finding"
SUPPORT_DEVICES = "Support_Devices"

#: The fourteen findings of NIH ChestX-ray14 (Wang et al. 2017, CVPR).
NIH14 = (
    "Atelectasis",
    "Cardiomegaly",
    "Effusion",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pneumonia",
    "Pneumothorax",
    "Consolidation",
    "Edema",
    "Emphysema",
    "Fibrosis",
    "Pleural_Thickening",
    "Hernia",
)

#: The observations of CheXpert without "No Finding" (Irvin et al. 2019, AAAI).
CHEXPERT13 = (
    "Enlarged_Cardiomediastinum",
    "Cardiomegaly",
    "Lung_Opacity",
    "Lung_Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Effusion",
    "Pleural_Other",
    "Fracture",
    SUPPORT_DEVICES,
)
CHEXPERT14 = (NO_FINDING, *CHEXPERT13)

#: The three findings of the CheXpert report, chosen for clean and plentiful labels.
CHEXPERT_REPORT = ("Effusion", "Edema", "Cardiomegaly")

#: Names that stand for a list in `params.yaml`.
CHOICES: dict[str, tuple[str, ...]] = {
    "chexpert-report": CHEXPERT_REPORT,
    "nih14": NIH14,
    "chexpert14": CHEXPERT14,
}

KNOWN = tuple(dict.fromkeys((*NIH14, *CHEXPERT13, NO_FINDING, OTHER_FINDING)))

_SPELLINGS = {
    "infiltrate": "Infiltration",
    "pleural effusion": "Effusion",
    "pleural thickening": "Pleural_Thickening",
}


def canonical(name: str) -> str:
    """Return the one spelling that Thorax uses for a published finding name.

    >>> canonical("Pleural Effusion"), canonical("Infiltrate"), canonical("No Finding")
    ('Effusion', 'Infiltration', 'No_Finding')
    """
    plain = name.strip()
    folded = plain.lower().replace("_", " ")
    if folded in _SPELLINGS:
        return _SPELLINGS[folded]
    joined = {known.lower().replace("_", " "): known for known in KNOWN}
    return joined.get(folded, plain)


def resolve(choice: str | Sequence[str], known: Iterable[str] = KNOWN) -> tuple[str, ...]:
    """Turn a choice (`nih14`, `chexpert-report`, `chexpert14` or a list) into finding names, in order.

    Raises:
        InputError: an unknown or repeated finding, or none at all.
    """
    if isinstance(choice, str):
        if choice in CHOICES:
            return CHOICES[choice]
        choice = [part for part in choice.split(",") if part.strip()]
    names = tuple(canonical(name) for name in choice)
    vocabulary = set(known)
    for name in names:
        if name not in vocabulary:
            raise InputError(f"Unknown finding {name!r}.", nearest(name, (*vocabulary, *CHOICES)))
    if not names:
        raise InputError("No finding was chosen.", "Name at least one under data.findings in params.yaml.")
    if len(set(names)) < len(names):
        repeated = sorted({name for name in names if names.count(name) > 1})
        raise InputError(f"Findings are named twice: {', '.join(repeated)}.")
    return names
