"""One file a pipeline step."""
