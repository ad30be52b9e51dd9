"""What each part of the system reaches, measured: `make bench-…`. Every module is a command of its own."""
