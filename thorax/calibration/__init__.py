"""Calibrators, operating points, conformal answers and out-of-distribution statistics."""
