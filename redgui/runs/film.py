"""The iterates that a run keeps for its filmstrip."""

from dataclasses import dataclass, field

from redgui import images
from redgui.runs.stream import Measured

FRAMES = 48  # iterates kept


@dataclass(frozen=True)
class Frame:
    """An iterate kept for the filmstrip, as a JPEG `data:` URL."""

    i: int
    sigma: float
    psnr: float | None
    src: str

    @classmethod
    def of(cls, step: Measured) -> "Frame":
        """The estimate of a Step."""
        return cls(step.i + 1, step.sigma, step.psnr, images.data_url(step.estimate, "jpeg", quality=92))


@dataclass
class Film:
    """Every `stride`-th iterate and the last of all; the stride doubles when there are more than `most`."""

    frames: list[Frame] = field(default_factory=list)
    stride: int = 1
    most: int = FRAMES

    def remember(self, step: Measured) -> None:
        """Keeps the Step's estimate if it is one of those kept."""
        if step.i % self.stride == 0 or step.i + 1 >= step.n:
            self.frames.append(Frame.of(step))
        if len(self.frames) > self.most:
            self.stride *= 2
            self.frames = [frame for frame in self.frames if (frame.i - 1) % self.stride == 0]

    def until(self, last: Measured | None) -> list[Frame]:
        """The kept iterates and the last one, wherever the run stands."""
        if last is None or (self.frames and self.frames[-1].i == last.i + 1):
            return self.frames
        return [*self.frames, Frame.of(last)]
