"""Network architectures under one forward contract."""
