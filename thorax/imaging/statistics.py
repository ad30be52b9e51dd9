"""Six figures about a picture that drift when a scanner, an export or a population changes."""

import cv2
import numpy as np

#: Names and units; all are of the network's input, so that reference and live figures compare.
STATISTICS = ("brightness", "contrast", "sharpness", "noise", "border", "entropy")

# The difference of two Laplacians: blind to edges and gradients, so that what is left is noise. It is the product of
# this filter along either side.
_NOISE_FILTER = np.array([1, -2, 1], dtype=np.int16)


def statistics(pixels: np.ndarray) -> dict[str, float]:
    """Return six statistics of a picture.

    Compute them on the network's input (`to_network_input`), not on the file's pixels: sharpness, noise and entropy
    depend on the resolution.

    Args:
        pixels: shape (H, W); uint8, or floats in [0, 1].

    Returns:
        brightness: mean grey level, 0 to 1.
        contrast: standard deviation of the grey level.
        sharpness: standard deviation of the Laplacian.
        noise: standard deviation of additive noise (Immerkær 1996, Computer Vision and Image Understanding 64).
        border: mean grey level of the outer twentieth on each side; collimation and padding make it dark.
        entropy: of the grey level histogram in 256 bins, in bits.
    """
    levels = pixels if pixels.dtype == np.uint8 else np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)
    levels = np.ascontiguousarray(levels)
    height, width = levels.shape
    # In whole grey levels, so that all sums are exact and quick.
    residue = cv2.sepFilter2D(levels, cv2.CV_16S, _NOISE_FILTER, _NOISE_FILTER)[1:-1, 1:-1]
    noise = np.sqrt(np.pi / 2) / 6 * cv2.norm(residue, cv2.NORM_L1) / residue.size / 255 if residue.size else 0.0
    rim_y, rim_x = max(1, height // 20), max(1, width // 20)
    inner = levels[rim_y:-rim_y, rim_x:-rim_x]
    rim = (cv2.sumElems(levels)[0] - (cv2.sumElems(inner)[0] if inner.size else 0.0)) / (levels.size - inner.size)
    mean, spread = cv2.meanStdDev(levels)
    _, sharpness = cv2.meanStdDev(cv2.Laplacian(levels, cv2.CV_16S))
    shares = cv2.calcHist([levels], [0], None, [256], [0, 256]).ravel().astype(np.float64) / levels.size
    shares = shares[shares > 0]
    return {
        "brightness": float(mean[0, 0]) / 255,
        "contrast": float(spread[0, 0]) / 255,
        "sharpness": float(sharpness[0, 0]) / 255,
        "noise": float(noise),
        "border": rim / 255,
        "entropy": abs(float(-(shares * np.log2(shares)).sum())),
    }
