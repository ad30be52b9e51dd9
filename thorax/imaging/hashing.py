"""The perceptual hash: alike for pictures that look alike, whatever their size, format or slight changes."""

import cv2
import numpy as np

from thorax.imaging.preparation import thumbnail

#: Bits of a hash. With the customary 64, chest radiographs of different patients collide: they all look alike.
BITS = 256
_LOW = 16


def perceptual_hash(pixels: np.ndarray) -> bytes:
    """Return the 256-bit DCT hash of a picture (pHash, Zauner 2010).

    The 16 × 16 lowest frequencies, each above or below their median: `imagehash.phash(image, hash_size=16)` up to the
    way the picture is shrunk, on OpenCV because it runs on every image.

    Args:
        pixels: shape (H, W), floats in [0, 1]; a thumbnail will do.

    Returns:
        32 bytes; the Hamming distance of two of them says how unlike the pictures are.
    """
    low = cv2.dct(thumbnail(pixels))[:_LOW, :_LOW]
    return np.packbits(low > np.median(low)).tobytes()
