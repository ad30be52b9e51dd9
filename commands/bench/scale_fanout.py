"""The fan-out over shards as a discrete simulation: tasks that take shards, some slow, some lost with their pod."""

import heapq
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Fanout:
    """What a fan-out came to.

    Attributes:
        seconds: until the last task was done.
        busy: share of the tasks' time in which they were at work.
        repeated: shards that were prepared again because a pod was lost.
    """

    seconds: float
    busy: float
    repeated: int


def simulate(
    shards: int,
    tasks: int,
    seconds: float,
    *,
    start: float = 0.0,
    spread: float = 0.0,
    slow: float = 0.0,
    slowness: float = 3.0,
    lost: float = 0.0,
    seed: int = 0,
) -> Fanout:
    """Let tasks prepare shards: task i of n takes every n-th shard from the i-th on, as `prepare` divides them.

    A shard that is finished stays: a task whose pod is lost starts anew, and repeats only the shard that it was at.

    Args:
        shards: to prepare.
        tasks: that start at once.
        seconds: a shard, on a core of the usual kind.
        start: of a pod, before its first shard, and again after it was lost.
        spread: of the logarithm of a shard's time.
        slow: share of tasks on a slow node.
        slowness: times as long that such a node takes.
        lost: probability that a pod is lost during a shard.
        seed: of the draws.
    """
    if shards < 1 or tasks < 1:
        raise ValueError(f"{shards} shards cannot be shared by {tasks} tasks.")
    rng = np.random.default_rng(seed)
    tasks = min(tasks, shards)
    factor = np.where(rng.random(tasks) < slow, slowness, 1.0)
    took = seconds * np.exp(rng.normal(-(spread**2) / 2, spread, shards))
    # Events in the order of time: which task is done with its shard, and which shard it takes next.
    queue = [(start, task, task) for task in range(tasks)]
    heapq.heapify(queue)
    ends, busy, repeated = np.zeros(tasks), 0.0, 0
    while queue:
        now, task, shard = heapq.heappop(queue)
        if shard >= shards:
            ends[task] = now
            continue
        length = took[shard] * factor[task]
        if lost and rng.random() < lost:
            part = rng.random() * length
            busy, repeated = busy + part, repeated + 1
            heapq.heappush(queue, (now + part + start, task, shard))
        else:
            busy += length
            heapq.heappush(queue, (now + length, task, shard + tasks))
    return Fanout(float(ends.max()), float(busy / (ends.max() * tasks)) if ends.max() else 1.0, repeated)
