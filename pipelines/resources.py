"""What a step is given on a cluster: image, processors, memory, accelerators, where it runs, what it finds there."""

from kfp import dsl, kubernetes

from thorax.settings import Cluster


def equip(task: dsl.PipelineTask, cluster: Cluster) -> dsl.PipelineTask:
    """Give a task what `cluster` in the settings says of its step.

    Kubeflow's local runner reads of this the environment and the retries alone.
    """
    given = cluster.resources(task.component_spec.name)
    if cluster.image:
        task.set_container_image(cluster.image)
    if given.cpu:
        task.set_cpu_request(given.cpu).set_cpu_limit(given.cpu)
    if given.memory:
        task.set_memory_request(given.memory).set_memory_limit(given.memory)
    if given.gpu:
        task.set_accelerator_type(given.gpu_kind).set_accelerator_limit(given.gpu)
    if given.retries:
        task.set_retry(given.retries, backoff_duration="30s", backoff_factor=2.0, backoff_max_duration="900s")
    for name, value in sorted(cluster.environment.items()):
        task.set_env_variable(name, value)
    for volume in cluster.volumes:
        kubernetes.mount_pvc(task, pvc_name=volume.claim, mount_path=volume.path)
    for secret in cluster.secrets:
        kubernetes.use_secret_as_env(task, secret_name=secret.name, secret_key_to_env=dict(secret.variables))
    for label, value in sorted(given.node_selector.items()):
        kubernetes.add_node_selector(task, label_key=label, label_value=value)
    for one in given.tolerations:
        kubernetes.add_toleration(
            task, key=one.key or None, operator=one.operator, value=one.value or None, effect=one.effect
        )
    if given.shared_memory:  # loader processes hand batches over through /dev/shm, which a pod has 64 MB of
        kubernetes.empty_dir_mount(
            task,
            volume_name="shm",
            mount_path="/dev/shm",  # noqa: S108  # nosec B108
            medium="Memory",
            size_limit=given.shared_memory,
        )
    if given.timeout_minutes:
        kubernetes.set_timeout(task, given.timeout_minutes * 60)
    return task
