"""Drift of predictions, with Evidently."""
