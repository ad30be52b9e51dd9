"""From attenuation to grey values: the beam, scatter, quantum noise, detector and the machine's processing."""

import numpy as np

from thorax.datasets.phantom.anatomy import Anatomy
from thorax.datasets.phantom.grid import blur, stream
from thorax.datasets.phantom.subject import SCANNERS

#: Attenuation of soft tissue per unit of length (0.19 per cm, water at about 65 keV; NIST XCOM) .
WATER = 0.19 * 36.0
#: Usual span of the logarithm of exposure from lung to abdomen.
_SPAN = 2.5
#: Photons that reach a pixel of a 1024 px image through air at nominal exposure.
_PHOTONS = 90_000.0


def expose(attenuation: np.ndarray, anatomy: Anatomy) -> np.ndarray:
    """Return what the detector reads: the logarithm of exposure with scatter, blur and noise, float32 (size, size).

    Args:
        attenuation: line integral of attenuation along each beam.
        anatomy: for the habitus (stout subjects scatter more) and the machine.
    """
    subject = anatomy.subject
    size = attenuation.shape[0]
    rng = stream(subject.seed, "exposure")
    primary = np.exp(-attenuation)
    body = np.where(attenuation > 0.4, primary, 0)  # open beam scatters in no tissue
    ratio = (0.55 if subject.view == "PA" else 0.85) * subject.size
    total = primary + np.float32(ratio) * (0.6 * blur(body, 0.05 * size) + 0.4 * blur(body, 0.014 * size))
    sigma = (0.35 + (0.3 if subject.view == "AP" else 0.0)) * size / 1024
    total = blur(total, float(np.hypot(sigma, subject.blur * size / 1024)))
    profile = SCANNERS[subject.scanner]
    photons = _PHOTONS * subject.exposure * (1024 / size) ** 2
    grain = rng.standard_normal((size, size), dtype=np.float32)
    if size >= 256:  # neighbouring pixels share light in the scintillator
        grain = blur(grain, 0.5) * np.float32(1.25)
    total += np.sqrt(total / np.float32(photons)) * grain * np.float32(profile.noise * subject.noise)
    return -np.log(np.clip(total, 2e-4, None))


def develop(reading: np.ndarray, body: np.ndarray, anatomy: Anatomy) -> np.ndarray:
    """Turn the detector's reading into a displayed image in [0, 1], float32 (size, size).

    As a radiography system does: the window is set from the histogram of the exposed body, so that neither habitus nor
    exposure decides how bright the picture is; then multi-frequency processing, and a sigmoid tone curve.

    Args:
        reading: logarithm of exposure.
        body: bool (size, size), where the beam met the body.
        anatomy: the subject's, with its machine.
    """
    subject = anatomy.subject
    rng = stream(subject.seed, "display")
    profile = SCANNERS[subject.scanner]
    size = reading.shape[0]
    if profile.equalise > 0:
        reading = reading - np.float32(profile.equalise) * (blur(reading, 0.11 * size) - float(reading.mean()))
    fine = blur(reading, 0.0035 * size)
    reading = reading + np.float32(profile.sharpness) * (reading - fine)
    coarse = max(size // 128, 1)
    inside = reading[::coarse, ::coarse][body[::coarse, ::coarse]]
    low, high = np.percentile(inside, [12, 96]) if inside.size else (0.0, 1.0)
    # Half of the span is the machine's own, so that lungs that hold more air than usual still look darker.
    span = 0.5 * max(high - low, 0.3) + 0.5 * _SPAN * (1 - 0.6 * profile.equalise)
    share = 1 + (reading - np.float32(high)) / np.float32(span)
    if subject.scanner == "film":
        share = share - np.float32(0.25 * np.log(subject.exposure))
    draw = rng.standard_normal(3)
    slope = 2.2 * (1 + 0.35 * (profile.toe - 0.5)) * float(np.clip(1 + 0.13 * draw[0], 0.7, 1.35))
    centre = 0.19 + 0.10 * float(np.clip(draw[1], -2, 2))
    # Open beam is shown nearly black, wherever the window puts it.
    open_beam = float(np.percentile(share[::coarse, ::coarse], 1)) - centre
    floor = np.float32(0.85 / (1 + np.exp(-slope * open_beam)) if open_beam < -0.6 else 0.07)
    image = 1 / (1 + np.exp(-np.float32(slope) * (share - np.float32(centre))))
    image = np.clip((image - floor) / (0.98 - floor), 0, 1) ** np.float32(profile.gamma * (1 + 0.05 * float(draw[2])))
    image += np.float32(profile.grain * subject.noise) * rng.standard_normal((size, size), dtype=np.float32)
    return np.clip(image, 0, 1)
