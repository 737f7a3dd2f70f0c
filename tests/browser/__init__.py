"""Tests in a real browser: a package, so that a file here may have the name of one beside this folder."""
