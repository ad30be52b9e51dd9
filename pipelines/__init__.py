"""How steps are wired."""
