"""What each step of the pipeline takes at a given number of images: time, cost, memory, and what is full first.

Each step is bound by the scarcest of what it uses (cores, disk, network, GPU), and stands still where its memory does
not suffice. Rates are measured by `make bench-scale` and kept in `scale_rates.json`; all else is an assumption that
`Cluster` states and that the command line may change.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from commands.bench.scale_fanout import simulate

RATES = Path(__file__).with_name("scale_rates.json")
#: Steps that one process does as a whole, in the order of the pipeline.
SINGLE = ("ingest", "validate", "preprocess", "calibrate", "evaluate", "drift")
_GIB = 2**30


@dataclass(frozen=True)
class Row:
    """What a row costs a step that one process does: processor seconds and bytes, and what it takes to begin with."""

    seconds: float
    bytes: float
    start_seconds: float
    start_bytes: float


@dataclass(frozen=True)
class Rates:
    """What was measured.

    Attributes:
        source_bytes: of an image's file.
        decode_seconds: processor time to read, check, hash and bring to size one such file.
        tiny_seconds: the same of the tiny files by which `rows` were measured.
        hash_seconds: to take the digest of one such file, which ingest does beside what `rows` say.
        store_bytes: an image in the store, with its row.
        answer_bytes: what a training leaves of an image: features, logits, maps.
        pair_seconds: for each image and each other, to look for near-duplicates: the square of the images.
        rows: of each step that one process does.
        flops: an architecture's operations for one image, forward and backward, at 224 px.
        train: an architecture's training images a second and core, in float32.
        serve: an architecture's answers a second and core, decoding left out.
    """

    source_bytes: float
    decode_seconds: float
    tiny_seconds: float
    hash_seconds: float
    pair_seconds: float
    store_bytes: float
    answer_bytes: float
    rows: dict[str, Row]
    flops: dict[str, float]
    train: dict[str, float]
    serve: dict[str, float]

    @classmethod
    def read(cls, file: Path = RATES) -> "Rates":
        """Read what `make bench-scale` kept."""
        from thorax.files import read_json

        found: dict[str, Any] = read_json(file)
        return cls(**found | {"rows": {name: Row(**row) for name, row in found["rows"].items()}})


@dataclass(frozen=True)
class Cluster:
    """What is assumed: machines, prices in US dollars, and how a model is trained.

    Attributes:
        tasks: that prepare images side by side.
        task_cores: of each.
        nodes: that train together.
        gpus: of each node; 0 trains on its cores, as if they shared the work without loss.
        core_hour, gpu_hour: price.
        gigabyte_month: price of storage.
        disk: bytes a second of the volume that all share.
        network: bytes a second of a node.
        memory: bytes of the one process that does a step whole.
        gpu_flops: operations a second of a GPU, dense bfloat16.
        gpu_share: of them that training reaches; assumed, nobody has measured it here.
        exchange: share of a node's rate that is left with twice as many nodes.
        epochs: of training.
        pod_seconds: until a pod is up.
        spread, slow, lost: of the fan-out, see `scale_fanout.simulate`.
        shard: images a shard.
        serve_cores: that answer.
    """

    tasks: int = 1
    task_cores: int = 8
    nodes: int = 1
    gpus: int = 1
    core_hour: float = 0.05
    gpu_hour: float = 3.0
    gigabyte_month: float = 0.02
    disk: float = 500e6
    network: float = 1.25e9
    memory: float = 64 * _GIB
    gpu_flops: float = 312e12
    gpu_share: float = 0.1
    exchange: float = 0.93
    epochs: int = 30
    pod_seconds: float = 60.0
    spread: float = 0.2
    slow: float = 0.02
    lost: float = 0.0005
    shard: int = 4096
    serve_cores: int = 8


@dataclass(frozen=True)
class Step:
    """What a step comes to.

    Attributes:
        name: of the step.
        seconds: until it is done.
        cost: of the cores and GPUs that are held meanwhile, US dollars.
        memory: bytes that its largest process needs.
        bound: what is full first: cores, disk, network, GPU; or memory, where what is needed is not there.
        storage: bytes that it leaves.
    """

    name: str
    seconds: float
    cost: float
    memory: float
    bound: str
    storage: float = 0.0


def plan(images: int, rates: Rates, cluster: Cluster, architecture: str = "densenet121") -> list[Step]:
    """Return the steps of one run for one architecture, then serving and watching as many images."""
    single = {name: _single(name, images, rates, cluster) for name in SINGLE}
    return [
        single["ingest"],
        _prepare(images, rates, cluster),
        single["validate"],
        single["preprocess"],
        _train(images, rates, cluster, architecture),
        single["calibrate"],
        single["evaluate"],
        Step("register", cluster.pod_seconds, _cores(cluster, 1, cluster.pod_seconds), 0.0, "cores", 100e6),
        _serve(images, rates, cluster, architecture),
        single["drift"],
    ]


def suggest(
    images: int, rates: Rates, cluster: Cluster, architecture: str = "densenet121", hours: float = 12.0
) -> Cluster:
    """Double tasks, GPUs and nodes until neither preparing nor training takes longer than `hours`, or help no more.

    No task has fewer than one shard, and a node at most eight GPUs.
    """
    limit = hours * 3600
    shards = -(-images // cluster.shard)
    while True:
        time = _prepare(images, rates, cluster)
        wider = replace(cluster, tasks=min(2 * cluster.tasks, shards))
        if time.seconds <= limit or time.bound in ("disk", "network") or wider.tasks == cluster.tasks:
            break
        cluster = wider
    while _train(images, rates, cluster, architecture).seconds > limit and cluster.nodes < 1024:
        more = cluster.gpus and cluster.gpus < 8
        cluster = replace(cluster, gpus=2 * cluster.gpus) if more else replace(cluster, nodes=2 * cluster.nodes)
    return cluster


def storage(images: int, rates: Rates) -> dict[str, float]:
    """Return the bytes of a dataset and of what one architecture leaves of it."""
    return {
        "radiographs": images * rates.source_bytes,
        "image store": images * rates.store_bytes,
        "answers": images * rates.answer_bytes,
    }


def _single(name: str, images: int, rates: Rates, cluster: Cluster) -> Step:
    row = rates.rows[name]
    each, read = row.seconds, 0.0
    if name == "ingest":
        each, read = each + rates.hash_seconds, rates.source_bytes
    if name in ("validate", "preprocess"):
        each = max(0.0, each - rates.tiny_seconds)  # the decoding is told as a step of its own
    if name == "calibrate":
        read = rates.answer_bytes
    work = row.start_seconds + images * each
    if name == "validate":
        work += images**2 * rates.pair_seconds
    times = {"cores": work, "disk": images * read / cluster.disk, "network": images * read / cluster.network}
    memory = row.start_bytes + images * row.bytes
    bound = "memory" if memory > cluster.memory else max(times, key=lambda key: times[key])
    seconds = cluster.pod_seconds + max(times.values())
    return Step(name, seconds, _cores(cluster, 1, seconds), memory, bound)


def _prepare(images: int, rates: Rates, cluster: Cluster) -> Step:
    """Decoding, the part that is shared by tasks; validation takes what it leaves."""
    shards = -(-images // cluster.shard)
    tasks = min(cluster.tasks, shards)
    a_shard = min(images, cluster.shard)
    volume = images * (rates.source_bytes + rates.store_bytes)
    done = simulate(
        shards,
        tasks,
        a_shard * rates.decode_seconds / cluster.task_cores,
        start=cluster.pod_seconds,
        spread=cluster.spread,
        slow=cluster.slow if tasks > 1 else 0.0,
        lost=cluster.lost,
    )
    times = {"cores": done.seconds, "disk": volume / cluster.disk, "network": volume / tasks / cluster.network}
    seconds = max(times.values())
    memory = cluster.task_cores * 64 * 2**20 + cluster.shard * rates.store_bytes
    bound = max(times, key=lambda key: times[key])
    cost = _cores(cluster, tasks * cluster.task_cores, seconds)
    return Step("prepare", seconds, cost, memory, bound, images * rates.store_bytes)


def _train(images: int, rates: Rates, cluster: Cluster, architecture: str) -> Step:
    """Epochs over the training split, and one pass over all for the answers (a third of a training step's work)."""
    passes = 0.6 * images * cluster.epochs + images / 3
    if cluster.gpus:
        rate = cluster.gpus * cluster.gpu_flops * cluster.gpu_share / rates.flops[architecture]
    else:
        rate = rates.train[architecture] * cluster.task_cores
    doublings = cluster.nodes.bit_length() - 1
    times = {"GPU" if cluster.gpus else "cores": passes / (rate * cluster.nodes * cluster.exchange**doublings)}
    # The store is read again each epoch, but for what the nodes' memory holds of it.
    held = min(1.0, cluster.memory / (0.6 * images * rates.store_bytes / cluster.nodes))
    read = (1 + (cluster.epochs - 1) * (held < 1)) * 0.6 * images * rates.store_bytes
    times |= {"disk": read / cluster.disk, "network": read / cluster.nodes / cluster.network}
    bound = max(times, key=lambda key: times[key])
    seconds = cluster.pod_seconds + times[bound]
    cost = _cores(cluster, cluster.nodes * cluster.task_cores, seconds)
    cost += cluster.nodes * cluster.gpus * cluster.gpu_hour * seconds / 3600
    # Every answer of a split is held until it is written; the training split is the largest.
    memory = 0.6 * images * rates.answer_bytes
    return Step(
        "train", seconds, cost, memory, "memory" if memory > cluster.memory else bound, images * rates.answer_bytes
    )


def _serve(images: int, rates: Rates, cluster: Cluster, architecture: str) -> Step:
    each = rates.decode_seconds + 1 / rates.serve[architecture]
    times = {
        "cores": images * each / cluster.serve_cores,
        "network": images * rates.source_bytes / cluster.network,
    }
    bound = max(times, key=lambda key: times[key])
    return Step(
        "serve", times[bound], _cores(cluster, cluster.serve_cores, times[bound]), 0.5 * _GIB, bound, images * 1500
    )


def _cores(cluster: Cluster, count: int, seconds: float) -> float:
    return count * cluster.core_hour * seconds / 3600
