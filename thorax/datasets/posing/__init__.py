"""How the check for upright chests (`thorax.imaging.pose`) is taught: by phantoms, and drawings of no chest."""
