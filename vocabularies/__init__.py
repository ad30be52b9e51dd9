"""Definitions of findings, as data: `findings.yaml`. Only `thorax.findings` reads it."""
