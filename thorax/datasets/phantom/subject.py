"""Who and what one phantom shows, and the machine that takes it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from thorax.errors import InputError, nearest
from thorax.findings import NIH14, SUPPORT_DEVICES

#: What a phantom can show: NIH's fourteen findings, and support devices (which NIH's labels leave out).
FINDINGS: tuple[str, ...] = (*NIH14, SUPPORT_DEVICES)

VIEWS = ("PA", "AP")
SEXES = ("F", "M")
MARKERS = ("R", "L", "")


@dataclass(frozen=True)
class ScannerProfile:
    """How one kind of machine turns the same exposure into other pixels.

    Attributes:
        gamma: exponent of the tone curve after windowing; 1 is linear in the logarithm of exposure.
        toe: strength of the sigmoid that presses blacks and whites together, 0 to 1.
        noise: quantum noise, as a factor on the nominal one.
        sharpness: weight of the unsharp mask; negative blurs.
        equalise: share of the large-scale contrast that the machine's multi-frequency processing takes out, 0 to 1.
        grain: standard deviation of the electronic noise, as a share of the output range.
    """

    gamma: float = 1.0
    toe: float = 0.5
    noise: float = 1.0
    sharpness: float = 0.4
    equalise: float = 0.45
    grain: float = 0.002


#: Machines by name; `standard` is the one that a population uses when nothing else is said.
SCANNERS: dict[str, ScannerProfile] = {
    "standard": ScannerProfile(),
    "crisp": ScannerProfile(gamma=1.08, toe=0.65, noise=0.8, sharpness=0.9, equalise=0.55, grain=0.0015),
    "soft": ScannerProfile(gamma=0.92, toe=0.35, noise=0.7, sharpness=-0.3, equalise=0.35, grain=0.0015),
    "portable": ScannerProfile(gamma=0.95, toe=0.2, noise=1.7, sharpness=0.1, equalise=0.35, grain=0.004),
    "film": ScannerProfile(gamma=1.2, toe=0.9, noise=1.2, sharpness=0.0, equalise=0.25, grain=0.005),
}


@dataclass(frozen=True)
class Subject:
    """All that decides one phantom: the same subject gives the same pixels.

    Attributes:
        seed: anatomy, placement of findings and noise; 0 or above.
        view: `PA` (standing, full breath) or `AP` (lying, portable).
        age: years, 0 to 120.
        sex: `F` or `M`.
        size: body habitus, 0.8 (slim) to 1.25 (stout).
        exposure: 1 nominal, 0.5 to 2; more exposure is less noise and, on film-like scanners, a darker image.
        noise: factor on the noise, 0 to 10; 1 nominal.
        blur: additional blur, standard deviation in pixels of a 1024 px image, 0 to 20.
        scanner: one of `SCANNERS`.
        marker: side marker, `R`, `L` or `` for none.
        findings: finding to severity in (0, 1]; 0.05 is barely visible, 1 is plain.

    Raises:
        InputError: a value out of its range, an unknown finding, scanner, view, sex or marker.
    """

    seed: int
    view: str = "PA"
    age: float = 50.0
    sex: str = "M"
    size: float = 1.0
    exposure: float = 1.0
    noise: float = 1.0
    blur: float = 0.0
    scanner: str = "standard"
    marker: str = "R"
    findings: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise InputError(f"A phantom's seed is {self.seed}.", "Seeds are 0 or above.")
        for name, value, known in (
            ("view", self.view, VIEWS),
            ("sex", self.sex, SEXES),
            ("scanner", self.scanner, tuple(SCANNERS)),
        ):
            if value not in known:
                raise InputError(f"Unknown {name} {value!r} of a phantom.", nearest(value, known))
        if self.marker not in MARKERS:
            raise InputError(f"Unknown side marker {self.marker!r} of a phantom.", "Known: R, L, or an empty string.")
        for name, number, low, high in (
            ("age", self.age, 0, 120),
            ("size", self.size, 0.8, 1.25),
            ("exposure", self.exposure, 0.5, 2),
            ("noise", self.noise, 0, 10),
            ("blur", self.blur, 0, 20),
        ):
            if not low <= number <= high:
                raise InputError(f"A phantom's {name} is {number:g}.", f"It must lie between {low:g} and {high:g}.")
        for finding, severity in self.findings.items():
            if finding not in FINDINGS:
                raise InputError(f"Unknown finding {finding!r} of a phantom.", nearest(finding, FINDINGS))
            if not 0 < severity <= 1:
                raise InputError(
                    f"The severity of {finding} is {severity:g}.",
                    "It must be above 0 and at most 1; leave out what is absent.",
                )


def twin(subject: Subject) -> Subject:
    """Return the same subject in health: same seed, view and machine, no finding (and no support device)."""
    return replace(subject, findings={})
