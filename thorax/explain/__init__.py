"""Where a network looked: activation maps, overlays, boxes."""
