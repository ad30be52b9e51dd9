"""Six figures about a picture that drift when a scanner, an export or a population changes."""

import cv2
import numpy as np

#: Names and units; all are of the network's input, so that reference and live figures compare.
STATISTICS = ("brightness", "contrast", "sharpness", "noise", "border", "entropy")

# The difference of two Laplacians: blind to edges and gradients, so that what is left is noise.
_NOISE_KERNEL = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32)


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
    grey = levels.astype(np.float32) / 255
    height, width = grey.shape
    residue = cv2.filter2D(grey, cv2.CV_32F, _NOISE_KERNEL)[1:-1, 1:-1]
    noise = float(np.sqrt(np.pi / 2) / 6 * np.abs(residue).mean()) if residue.size else 0.0
    rim_y, rim_x = max(1, height // 20), max(1, width // 20)
    inner = grey[rim_y:-rim_y, rim_x:-rim_x]
    rim_pixels = grey.size - inner.size
    shares = np.bincount(levels.ravel(), minlength=256) / levels.size
    shares = shares[shares > 0]
    return {
        "brightness": float(grey.mean()),
        "contrast": float(grey.std()),
        "sharpness": float(cv2.Laplacian(grey, cv2.CV_32F).std()),
        "noise": noise,
        "border": float((grey.sum(dtype=np.float64) - inner.sum(dtype=np.float64)) / rim_pixels),
        "entropy": abs(float(-(shares * np.log2(shares)).sum())),
    }
