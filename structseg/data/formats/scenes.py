"""The built-in procedural street scenes: nothing to download, any number of them.

Splits draw from disjoint ranges of picture numbers with fixed starts, so `val` and `test` stay the same when `train`
grows. A picture is drawn when it is read; masks, instances, depth with sensor noise, and tags come with it.
"""

from __future__ import annotations

from pathlib import Path

from structseg.data import scenes
from structseg.data.formats import missing_split
from structseg.data.labels import apply, read_labels
from structseg.errors import ConfigError
from structseg.types import Item, Sample

SPACING = 1_000_000  # picture numbers reserved for each of test and val; train follows


class Scenes:
    """Procedural scenes of `size` (height, width); `train`, `val`, `test` say how many."""

    def __init__(
        self,
        *,
        size: tuple[int, int] = (96, 128),
        train: int = 2000,
        val: int = 100,
        test: int = 200,
        seed: int = 0,
        labels: str = "",
    ) -> None:
        counts = {"train": train, "val": val, "test": test}
        for name, count in {**counts, "seed": seed + 1 if isinstance(seed, int) else seed}.items():
            if not isinstance(count, int) or not 1 <= count <= SPACING:
                raise ConfigError(f"data.options.{name}: {count!r} is not a whole number from 1 to {SPACING}")
        if (
            not isinstance(size, list | tuple)
            or len(size) != 2
            or not all(isinstance(side, int) and side >= 16 for side in size)
        ):
            raise ConfigError(f"data.options.size: {size!r} is not [height, width] of at least 16 pixels each")
        self.size = (size[0], size[1])
        self.seed = seed
        self.counts = counts
        self.labels = read_labels(labels) if labels else scenes.labels()
        self.origin = f"scenes size={self.size} seed={seed}"

    @staticmethod
    def fits(root: Path) -> bool:
        """No folder: nothing is read from disk."""
        return False

    def splits(self) -> tuple[str, ...]:
        return tuple(self.counts)

    def items(self, split: str) -> tuple[Item, ...]:
        if split not in self.counts:
            raise missing_split("scenes", split, self.splits())
        start = {"test": 0, "val": SPACING, "train": 2 * SPACING}[split]
        return tuple(Item(f"{split}_{place:06d}", index=start + place) for place in range(self.counts[split]))

    def read(self, item: Item) -> Sample:
        scene = scenes.render(self.seed, item.index, size=self.size)
        target = apply(scene.target, self.labels, item.name)
        tags = tuple(tag for tag in scene.tags if tag in self.labels.names)
        return Sample(item.name, scene.image, target, scene.instances, scene.depth, tags)
