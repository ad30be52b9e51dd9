"""Synthetic chest radiographs with exact truth."""
