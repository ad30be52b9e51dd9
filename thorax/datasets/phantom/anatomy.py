"""One subject's anatomy in numbers: where each organ lies and how large it is.

Lengths are in units of 36 cm (see `grid.UNIT_CM`), v from the upper edge of the image, u from the midline towards the
patient's left. Proportions follow frontal radiographs of adults: apices just above the clavicles, the right dome about
half an interspace above the left, a heart less than half as wide as the thorax (Danzer 1919, Am J Med Sci).
"""

from dataclasses import dataclass, field

import numpy as np
from scipy.interpolate import PchipInterpolator

from thorax.datasets.phantom.curves import around
from thorax.datasets.phantom.grid import stream
from thorax.datasets.phantom.subject import Subject

#: Depth from apex to costophrenic angle, and the half-width of a lung there, relative to its widest.
_OUTER = PchipInterpolator(
    [-0.02, 0.0, 0.004, 0.015, 0.05, 0.11, 0.28, 0.6, 0.93, 1.1],
    [0.36, 0.36, 0.42, 0.48, 0.59, 0.71, 0.84, 0.95, 1.0, 0.99],
)
_INNER = PchipInterpolator(
    [-0.02, 0.0, 0.004, 0.015, 0.05, 0.11, 0.28, 1.1], [0.36, 0.36, 0.30, 0.24, 0.17, 0.14, 0.08, 0.05]
)
_DEPTH = PchipInterpolator(
    [-0.02, 0.0, 0.004, 0.03, 0.1, 0.2, 0.45, 0.75, 1.1], [0.0, 0.0, 0.06, 0.16, 0.27, 0.34, 0.42, 0.46, 0.44]
)

#: Outline of the heart; the right half in shares of its extent to the right, the left half of that to the left.
_HEART = np.array(
    [
        (-0.35, 0.385), (-0.75, 0.45), (-1.0, 0.545), (-0.93, 0.635), (-0.62, 0.74), (0.3, 0.785), (0.74, 0.765),
        (0.94, 0.71), (1.0, 0.645), (0.9, 0.565), (0.67, 0.48), (0.42, 0.41), (0.22, 0.365), (0.0, 0.35),
    ]
)  # fmt: skip


@dataclass
class Anatomy:
    """What the organs are drawn from; findings may change it before anything is drawn.

    Attributes:
        subject: whose anatomy it is.
        zoom: image widths a unit.
        centre: u of the midline, as a share of the image's width.
        top: v = 0, as a share of the image's height.
        tilt: turn of the whole picture, degrees.
        apex: v of the lung's top, [right, left], as below.
        dome: v of the diaphragm's highest point.
        angle: v of the costophrenic angle.
        width: half-width of each lung at its widest.
        heart_right: how far the heart reaches from the midline to the patient's right.
        heart_left: and to the left.
        thickness: of the trunk from front to back.
        shoulder: how low the shoulders hang.
        arm_gap: how far the elbows stand off.
        knob: radius of the aortic arch.
        rib_tilt: how far a rib falls from back to front, relative.
        bone: mineral content, relative.
        taper: how much narrower the lungs are above than below; 1 is usual.
        flat: how flat the diaphragm is, 0 (domed) to 1.
        heart_shift: displacement of heart and mediastinum towards the patient's left.
        depth: depth of the thorax, relative.
        density: density of aerated lung relative to water.
        pruning: share of the peripheral vessels that is lost.
        upper_flow: calibre of the upper vessels relative to the lower ones.
        vessel_gain: cross-section of all vessels, relative.
        rotation: turn of the patient about the long axis, as a displacement of the clavicles.
        scoliosis: amplitude and phase of the spine's bend.
        hila: (u, v) of the right and the left hilum.
    """

    subject: Subject
    zoom: float
    centre: float
    top: float
    tilt: float
    apex: np.ndarray
    dome: np.ndarray
    angle: np.ndarray
    width: np.ndarray
    heart_right: float
    heart_left: float
    thickness: float
    shoulder: float
    arm_gap: float
    knob: float
    rib_tilt: float
    bone: float
    taper: float = 1.0
    flat: float = 0.0
    heart_shift: float = 0.0
    depth: float = 1.0
    density: float = 0.27
    pruning: float = 0.0
    upper_flow: float = 0.75
    vessel_gain: float = 1.0
    rotation: float = 0.0
    scoliosis: tuple[float, float] = (0.0, 0.0)
    hila: np.ndarray = field(default_factory=lambda: np.array([[-0.074, 0.425], [0.080, 0.40]]))

    @property
    def acromion(self) -> float:
        """Return v of the shoulders' upper edge, where the clavicles end."""
        return float(self.apex.mean()) - 0.055 + 0.45 * self.shoulder

    @property
    def thorax_width(self) -> float:
        """Widest inner diameter of the thorax."""
        return float(self.width.sum())

    @property
    def cardiothoracic_ratio(self) -> float:
        """Width of the heart over the widest inner diameter of the thorax, as projected."""
        return (self.heart_right + self.heart_left) / self.thorax_width

    def spine(self, v: np.ndarray) -> np.ndarray:
        """Return u of the spine's middle at each height."""
        bend, phase = self.scoliosis
        return bend * np.sin(2.2 * np.pi * np.asarray(v) + phase) + 0.3 * self.rotation

    def midline(self, v: np.ndarray) -> np.ndarray:
        """Return u of the mediastinum's middle at each height."""
        return 0.4 * self.spine(v) + self.heart_shift * np.clip(np.asarray(v) / 0.5, 0, 1)

    def span(self, side: int, v: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the inner and outer distance from the midline and the depth of a lung (0 right, 1 left) at each v."""
        share = (v - self.apex[side]) / (self.angle[side] - self.apex[side])
        within = np.clip(share, -0.02, 1.1)
        outer = self.width[side] * _OUTER(within) ** self.taper
        return self.width[side] * _INNER(within), outer, self.depth * _DEPTH(within) * (share > 0)

    def diaphragm(self, side: int, distance: np.ndarray) -> np.ndarray:
        """Return v of the diaphragm's upper edge at each distance from the midline."""
        peak = (0.46 + 0.06 * side) * self.width[side]
        outward = np.clip((distance - peak) / (self.width[side] - peak), 0, 1.2)
        inward = np.clip((peak - distance) / peak, 0, 1)
        drop = self.angle[side] - self.dome[side]
        power = 2.3 - 0.9 * self.flat
        return self.dome[side] + drop * outward**power + 0.35 * drop * (1 - 0.6 * self.flat) * inward**2

    def heart_outline(self) -> np.ndarray:
        """Return the closed outline of the heart, float (400, 2), reaching exactly as far as the ratio says."""
        points = _HEART.copy()
        rise = self.dome.mean() - 0.665
        points[:, 1] += rise * np.clip((points[:, 1] - 0.36) / 0.34, 0, 1)
        # A large heart is not a stretched small one: its left border bulges.
        bulge = float(np.clip((self.cardiothoracic_ratio - 0.47) / 0.2, 0, 1))
        points[8:13] += bulge * np.array(
            [(-0.01, -0.035), (0.03, -0.03), (0.07, -0.025), (0.08, -0.015), (0.04, -0.005)]
        )
        points[:, 0] *= np.where(points[:, 0] < 0, self.heart_right, self.heart_left)
        curve = around(points, 400)
        left, right = curve[:, 0].min(), curve[:, 0].max()
        width = self.heart_right + self.heart_left
        curve[:, 0] = (curve[:, 0] - left) * width / (right - left) - self.heart_right
        curve[:, 0] += self.heart_shift
        return curve


def sample_anatomy(subject: Subject) -> Anatomy:
    """Draw one subject's healthy anatomy from its seed, view, age, sex and habitus."""
    rng = stream(subject.seed, "anatomy")
    normal = rng.standard_normal(40)
    ap = subject.view == "AP"
    old = float(np.clip((subject.age - 40) / 50, 0, 1))
    child = float(np.clip((16 - subject.age) / 16, 0, 1))
    width = 0.385 * (0.97 if subject.sex == "F" else 1.0) * (1 + 0.035 * normal[0])
    width *= 1 + (0.02 if ap else 0.0)
    widths = width * np.array([1 + 0.015 * normal[1], 1 - 0.015 * normal[1]])
    apex = 0.135 + 0.012 * normal[2]
    height = 0.525 + 0.03 * normal[3] - (0.07 if ap else 0.0) - 0.03 * child
    height -= 0.05 * max(subject.size - 1, 0) * 4 * 0.6
    right = apex + max(height, 0.38)
    left = right + np.clip(0.028 + 0.012 * normal[4], 0.008, 0.05)
    drop = np.clip(0.085 + 0.012 * normal[5], 0.06, 0.11)
    ratio = 0.44 + 0.022 * normal[6] + 0.008 * old + (0.018 if ap else 0.0) + 0.02 * (subject.size - 1)
    heart = float(np.clip(ratio, 0.37, 0.488)) * widths.sum()
    share = float(np.clip(0.27 + 0.03 * normal[7], 0.2, 0.34))
    return Anatomy(
        subject=subject,
        zoom=float(np.clip(1.03 + 0.065 * normal[8] - 0.06 * child, 0.85, 1.14)),
        centre=0.5 + 0.018 * float(normal[9]),
        top=float(np.clip(0.012 + 0.03 * normal[10] + (0.015 if ap else 0), -0.05, 0.07)),
        tilt=float(np.clip(1.1 * normal[11] * (1.8 if ap else 1.0), -5, 5)),
        apex=np.array([apex, apex - 0.004 + 0.005 * normal[12]]),
        dome=np.array([right, left]),
        angle=np.array([right + drop, left + drop * 0.9]),
        width=widths,
        heart_right=heart * share,
        heart_left=heart * (1 - share),
        thickness=(0.60 if subject.sex == "M" else 0.56) * subject.size**1.1 * (1 + 0.04 * float(normal[13])),
        shoulder=float(np.clip(0.075 + 0.02 * normal[14] - (0.03 if ap else 0), 0.01, 0.13)),
        arm_gap=float(np.clip(0.03 + 0.03 * normal[15], -0.02, 0.1)),
        knob=0.034 + 0.003 * float(normal[16]) + 0.012 * old - 0.01 * child,
        rib_tilt=1 + 0.08 * float(normal[17]) - (0.12 if ap else 0),
        bone=(1.05 if subject.sex == "M" else 0.95) * (1 - 0.2 * old) * (1 + 0.08 * float(normal[18])),
        density=0.26 * (1 + 0.06 * float(normal[19])) + (0.03 if ap else 0.0),
        upper_flow=0.72 + (0.2 if ap else 0.0) + 0.05 * float(normal[20]),
        vessel_gain=float(np.clip(1 + 0.15 * normal[21], 0.7, 1.4)),
        taper=float(np.clip(1.18 + 0.2 * normal[29], 0.8, 1.7)),
        rotation=0.012 * float(normal[22]) * (1.6 if ap else 1.0),
        scoliosis=(0.004 * abs(float(normal[23])) * (1 + old), float(rng.uniform(0, 2 * np.pi))),
        hila=np.array([[-0.074, apex + 0.29], [0.080, apex + 0.265]]) + 0.006 * normal[24:28].reshape(2, 2),
    )
