"""Tests of Infinity Assets, mirroring the package."""
