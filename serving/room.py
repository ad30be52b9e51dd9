"""How many pixels a worker decodes at once: large pictures wait for each other, so that its memory stays bounded."""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class PixelRoom:
    """Room for so many pixels, given out in the order in which it was asked for.

    A picture of fifty million pixels takes over a gigabyte while it is decoded; a usual radiograph a tenth of that.
    Several usual ones are decoded side by side; a larger one than fits beside them waits, and a later one waits for it.

    Args:
        pixels: that may be held at once. One picture larger than this is let in alone.
    """

    def __init__(self, pixels: int) -> None:
        self._pixels = pixels
        self._held = 0
        self._waiting: deque[object] = deque()
        self._changed = threading.Condition()

    @contextmanager
    def hold(self, pixels: int) -> Iterator[None]:
        """Wait for room, and hold it until the block ends; may be called from several threads at once."""
        ticket = object()
        with self._changed:
            self._waiting.append(ticket)
            try:
                self._changed.wait_for(lambda: self._waiting[0] is ticket and self._fits(pixels))
                self._held += pixels
            finally:
                self._waiting.remove(ticket)
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._held -= pixels
                self._changed.notify_all()

    def _fits(self, pixels: int) -> bool:
        return self._held == 0 or self._held + pixels <= self._pixels
