"""Readers of published datasets, each giving the one manifest."""
