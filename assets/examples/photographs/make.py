"""Makes the example photographs: pictures of scikit-image that are dedicated to the public domain (CC0), as 128x128.

    python -m assets.examples.photographs.make

photo-cat: "chelsea", by Stefan van der Walt; photo-coffee: "coffee", by Rachel Michetti. The prior
`photos` was trained on neither.
"""

from pathlib import Path

import skimage.data  # noqa: TID253
from PIL import Image

from redgui import images

if __name__ == "__main__":
    for name in ("chelsea", "coffee"):
        photograph = images.fit(Image.fromarray(getattr(skimage.data, name)()), 128, 128)
        stem = {"chelsea": "photo-cat", "coffee": "photo-coffee"}[name]
        photograph.save(Path(__file__).parent / f"{stem}.png", optimize=True)
