"""Patient-safe splits and the image store."""
