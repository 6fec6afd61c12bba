"""A landscape's points over the workers of a Dask cluster."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from landscape_utils.engine.engine import Engine, Sums

if TYPE_CHECKING:
    from distributed import Client, Future

TRIES = 3  # times that workers may take the landscape with them
CLOSED = ("closing", "closed")  # of a client's status
PARTS = 4  # tasks a worker: few enough to cost nothing, many enough that none waits long for the last

Point = tuple[float, ...]

_alone = threading.Lock()  # an engine's buffers belong to one walk, and a worker may have several threads
_last: dict[str, Engine] = {}  # the engine that this worker prepared last


def spread(client: Client, walk: dict[str, Any], points: Sequence[Point]) -> Iterator[tuple[Point, Sums]]:
    """Measure points on a cluster, and give each as it comes.

    What a dying worker had not finished goes to the others; if all that held the landscape died, it is sent again.

    Args:
        client: of a Dask cluster whose workers have this package installed.
        walk: arguments of `Engine`; its device is the workers', too.
        points: coordinates along the directions.

    Raises:
        ConnectionError: the client is closed, or was meanwhile.
        RuntimeError: the workers died again and again.
    """
    from cloudpickle import dumps
    from distributed import as_completed
    from distributed.client import FutureCancelledError

    packed = dumps(walk)  # by ourselves: Dask takes modules apart, and puts them together otherwise
    waiting = dict.fromkeys(points)
    for _ in range(TRIES):
        if client.status in CLOSED:
            raise ConnectionError("the Dask client is closed; give one that is connected, or none to compute here")
        (held,) = client.scatter([packed], broadcast=True, hash=False)
        tasks = [client.submit(_measure, held.key, held, part, pure=False) for part in _parts(client, list(waiting))]
        try:
            for task in as_completed(tasks):
                for point, sums in _result(task):
                    del waiting[point]
                    yield point, sums
        except FutureCancelledError:  # the landscape went with its last holder, or the client was closed
            continue
        finally:
            if client.status not in CLOSED:
                client.cancel(tasks)
        if not waiting:
            return
    raise RuntimeError(f"{len(waiting)} points are left: the workers died {TRIES} times; give them more memory")


def _parts(client: Client, points: list[Point]) -> list[list[Point]]:
    count = min(len(points), PARTS * max(1, len(client.scheduler_info(n_workers=-1)["workers"])))
    return [points[i::count] for i in range(count)]


def _result(task: Future[Any]) -> list[tuple[Point, Sums]]:
    points: list[tuple[Point, Sums]] = task.result()
    return points


def _measure(key: str, packed: bytes, points: Sequence[Point]) -> list[tuple[Point, Sums]]:
    """Run on a worker: prepare the model once a landscape, and measure some of its points."""
    with _alone:
        if key not in _last:
            _last.clear()
            _last[key] = Engine(**pickle.loads(packed))
        return [(point, _last[key].at(point)) for point in points]
