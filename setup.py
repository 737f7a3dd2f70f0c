"""What pyproject.toml cannot say: the packages are found, and `assets/` travels as the package `redgui.assets`."""

from setuptools import find_packages, setup

setup(packages=[*find_packages(include=["redgui", "redgui.*"]), "redgui.assets"], package_dir={"redgui.assets": "assets"})
