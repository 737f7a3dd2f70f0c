"""Which of several processes this is, read from the environment that launchers set.

`accelerate launch` and `torchrun` start a process for every GPU and set RANK, WORLD_SIZE and LOCAL_RANK; MPI has names of its
own. The processes of a benchmark need nothing else of each other: what each has finished lies in the folder where all of them
write, so that no connection between them can time out while one works longer than another.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from redgui import devices

NAMES = (
    ("RANK", "WORLD_SIZE", "LOCAL_RANK"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
    ("PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID"),
)


@dataclass(frozen=True)
class Share:
    """This process: `rank` of 0 .. world - 1, `local` on its machine."""

    rank: int = 0
    world: int = 1
    local: int = 0

    @classmethod
    def of_environment(cls) -> "Share":
        """0 of 1 where no launcher has set anything."""
        for rank, world, local in NAMES:
            if rank in os.environ and int(os.environ.get(world, "1")) > 1:
                return cls(int(os.environ[rank]), int(os.environ[world]), int(os.environ.get(local, os.environ[rank])))
        return cls()

    @property
    def first(self) -> bool:
        """Whether this is the process that waits for the others and reports."""
        return self.rank == 0

    def take_device(self) -> None:
        """Makes this process's own GPU the one that `cuda` means; to be called before a prior is loaded."""
        if self.world > 1:
            devices.take_cuda(self.local)


def wait_for(lacking: Callable[[], int], tell: Callable[[int], None], pause: float = 0.3) -> None:
    """Returns when `lacking` says 0; `tell` hears every other answer. A launcher ends this process when another one dies."""
    while True:
        began = time.perf_counter()
        if not (left := lacking()):
            return
        tell(left)
        time.sleep(max(pause, 4 * (time.perf_counter() - began)))  # many rows take long to read
