"""Prepares the processes of MLflow's server: Python imports this as it starts where this folder is on its path."""

from thorax.registry.tracking import quiet_mlflow

quiet_mlflow()
