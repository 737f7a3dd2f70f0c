"""Aligns the example faces: generated portraits under CC0 (github.com/faker-js/assets-person-portrait), for the face prior.

    python -m assets.examples.make portraits.zip      writes face-NN.png of FACES beside this file

No person is shown, nothing needs a licence, and no prior was trained on them.
"""

import io
import sys
import zipfile
from pathlib import Path

from redgui import fitting, images

FACES = {6: "female-27", 11: "male-14", 13: "female-05", 14: "female-33", 34: "male-09", 37: "female-18"}

if __name__ == "__main__":
    with zipfile.ZipFile(sys.argv[1]) as portraits:
        for number, name in FACES.items():
            portrait = images.read(io.BytesIO(portraits.read(f"{name}.jpg")))
            face = fitting.for_picture(portrait, (64, 64), "face").apply(portrait)
            face.save(Path(__file__).parent / f"face-{number:02d}.png")
