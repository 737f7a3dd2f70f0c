"""Imported by the benchmarks, so that `python benchmarks/x.py` measures the redgui of this checkout, installed or not."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
