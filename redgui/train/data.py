"""Training pictures: zips read in place and folders, kept decoded, as crops that depend on (seed, step) alone."""

import math
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from redgui import images, reading
from redgui.train.recipe import TrainError

# Streams of a run's seed; randomness.py has 0 and 1.
ORDER, CROP, NOISE, DROPOUT, HELD_OUT, SPLIT = 10, 11, 12, 13, 14, 15


class Source:
    """A zip or a folder: the names of its pictures and their bytes."""

    def __init__(self, path: str):
        self.path = Path(path)
        if self.path.is_dir():
            self.archive = None
            found = (p for p in self.path.rglob("*") if p.is_file())
            names = [p.relative_to(self.path).as_posix() for p in found]
        elif not self.path.exists():
            raise TrainError(f"there is no {path}; give a zip or a folder of pictures.")
        else:
            try:
                self.archive = zipfile.ZipFile(self.path)
            except zipfile.BadZipFile:
                raise TrainError(f"{path} is not a zip that can be read; give a zip or a folder of pictures.") from None
            names = self.archive.namelist()
        self.names = sorted(n for n in names if reading.is_picture(n))
        if not self.names:
            raise TrainError(f"{path} has no pictures ({', '.join(images.SUFFIXES)}).")

    def read(self, name: str) -> np.ndarray:
        """A picture, (h, w, 3) uint8. Raises TrainError with its name where it is damaged."""
        try:
            data = self.archive.read(name) if self.archive else (self.path / name).read_bytes()
            return np.asarray(images.read(data))
        except (images.ImageError, zipfile.BadZipFile, zlib.error, OSError, RuntimeError, NotImplementedError) as error:
            raise TrainError(f"{name} in {self.path} cannot be read: {error}") from None

    def split(self, held_out: float, seed: int) -> tuple[list[str], list[str]]:
        """Names for training and held-out names: by train/ and val/, or a share drawn by the seed."""
        parts = {name: Path(name).parts[:-1] for name in self.names}
        train = [n for n in self.names if "train" in parts[n]]
        val = [n for n in self.names if "val" in parts[n]]
        if not train and not val:
            drawn = np.random.default_rng([seed, SPLIT]).permutation(len(self.names))
            count = min(len(self.names) - 1, math.ceil(held_out * len(self.names)))
            chosen = set(drawn[:count].tolist())
            train = [n for k, n in enumerate(self.names) if k not in chosen]
            val = [n for k, n in enumerate(self.names) if k in chosen]
        for missing, there, names in (("val", "train", val), ("train", "val", train)):
            if not names:
                raise TrainError(
                    f"{self.path} has {there}/ but no pictures in {missing}/. Add some, or put all pictures in one flat "
                    "folder, of which a share (--held-out) is then held out."
                )
        return train, val


class Pictures:
    """Pictures of one split, from any number of sources, decoded once as long as `memory` bytes hold them.

    Args:
        items: (source, name) of every picture.
        size: side of the crops.
        scales: the largest crop's side over `size`.
        memory: bytes of decoded pictures that are kept.
    """

    def __init__(self, items: Sequence[tuple[Source, str]], size: int, scales: float = 1e6, memory: int = 2**32):
        self.items, self.size, self.scales, self.room = list(items), size, scales, memory
        self.kept: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> np.ndarray:
        """The whole picture, (h, w, 3) uint8."""
        if index in self.kept:
            return self.kept[index]
        source, name = self.items[index]
        pixels = source.read(name)
        if min(pixels.shape[:2]) < self.size:
            h, w = pixels.shape[:2]
            raise TrainError(
                f"{name} in {source.path} is {w}x{h}, smaller than --size {self.size}. Remove it or train smaller."
            )
        if pixels.nbytes <= self.room:
            self.room -= pixels.nbytes
            self.kept[index] = pixels
        return pixels

    def fingerprint(self) -> int:
        """A number that changes with the names, so that a resumed run can tell that its data is another."""
        return zlib.crc32("\n".join(f"{source.path.name}/{name}" for source, name in self.items).encode())

    def crop(self, index: int, where: np.ndarray) -> np.ndarray:
        """A crop (size, size, 3) uint8; `where` has three numbers in [0, 1): the scale and the place.

        The side is drawn evenly in its logarithm, so that all scales of a photo's texture are seen alike.
        """
        pixels = self[index]
        h, w = pixels.shape[:2]
        if h == w == self.size:
            return pixels
        most = min(h, w, int(self.size * self.scales))
        side = round(self.size * (most / self.size) ** float(where[0]))
        top, left = int(where[1] * (h - side + 1)), int(where[2] * (w - side + 1))
        cut = pixels[top : top + side, left : left + side]
        if side == self.size:
            return cut
        return np.asarray(Image.fromarray(cut).resize((self.size, self.size), Image.Resampling.LANCZOS))

    def batch(
        self, seed: int, step: int, batch: int, flip: bool, rank: int = 0, world: int = 1, *, turn: bool = False
    ) -> np.ndarray:
        """Process `rank`'s part of step `step`'s batch, (batch // world, size, size, 3) uint8: a function of its arguments.

        The pictures come in a new random order every epoch; every step takes the next `batch` of them.
        """
        rng = np.random.default_rng([seed, CROP, step])
        where, flips, turns = rng.random((batch, 3)), rng.random(batch) < 0.5, rng.integers(4, size=batch)
        crops = []
        for k in range(rank, batch, world):
            crop = self.crop(self.picked(seed, step * batch + k), where[k])
            crop = crop[:, ::-1] if flip and flips[k] else crop
            crops.append(np.rot90(crop, turns[k]) if turn else crop)
        return np.stack(crops)

    def picked(self, seed: int, position: int) -> int:
        """The picture at a position of the endless sequence of shuffled epochs."""
        epoch, offset = divmod(position, len(self))
        if getattr(self, "_epoch", None) != (seed, epoch):
            self._order = np.random.default_rng([seed, ORDER, epoch]).permutation(len(self))
            self._epoch = (seed, epoch)
        return int(self._order[offset])

    def some(self, count: int | None = None, seed: int = 0) -> np.ndarray:
        """The first `count` pictures (all if None) as crops that are the same at every call, (n, size, size, 3) uint8."""
        n = len(self) if count is None else min(count, len(self))
        rng = np.random.default_rng([seed, HELD_OUT])
        where = rng.random((len(self), 3))
        return np.stack([self.crop(k, where[k]) for k in range(n)]) if n else np.empty((0, self.size, self.size, 3), np.uint8)


def find(
    paths: Sequence[str], size: int, *, scales: float, memory: int, held_out: float, seed: int
) -> tuple[Pictures, Pictures]:
    """The training and the held-out pictures of zips and folders together.

    Raises:
        TrainError: a source that is missing, unreadable, empty, or without one of the two parts.
    """
    train, val = [], []
    for path in paths:
        source = Source(path)
        for split, names in zip((train, val), source.split(held_out, seed), strict=True):
            split.extend((source, name) for name in names)
    # The held-out pictures' order mixes the sources and, in a source sorted by class, the classes.
    val = [val[k] for k in np.random.default_rng([0, HELD_OUT]).permutation(len(val))]
    return Pictures(train, size, scales, memory), Pictures(val, size, scales, memory)
