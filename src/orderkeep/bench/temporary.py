"""A server of one's own, which leaves nothing behind."""

from abc import ABC, abstractmethod
from typing import Self


class Temporary(ABC):
    """``with`` starts it, and removes it at the end, also when it does not come up."""

    @abstractmethod
    def start(self) -> None:
        """Start it; returning means that it answers."""

    @abstractmethod
    def remove(self) -> None:
        """End it if it runs, and remove what it kept."""

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()
