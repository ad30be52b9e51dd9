"""The `thorax` command: what a person types."""
