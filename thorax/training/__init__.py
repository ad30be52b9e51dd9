"""Training a network on an image store."""
