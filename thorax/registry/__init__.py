"""The MLflow adapter: tracking and the model registry."""
