"""A Kubeflow cluster: send it the pipeline, now or on a schedule, ask how a run stands, stop it, read what it printed.

Everything goes through Kubeflow's own client, and pods' logs through Kubernetes' own.
"""

from pipelines.cluster.connection import COOKIES, TOKEN, ClusterError, connect
from pipelines.cluster.following import RunState, Task, cancel, logs, runs, status
from pipelines.cluster.sending import arguments, as_there, check, repeat, schedule, schedules, submit, unschedule

__all__ = [
    "COOKIES",
    "TOKEN",
    "ClusterError",
    "RunState",
    "Task",
    "arguments",
    "as_there",
    "cancel",
    "check",
    "connect",
    "logs",
    "repeat",
    "runs",
    "schedule",
    "schedules",
    "status",
    "submit",
    "unschedule",
]
