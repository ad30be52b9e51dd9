"""Validation of a dataset with Great Expectations (the one place that imports it)."""
