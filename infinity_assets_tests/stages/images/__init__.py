"""Tests of the room ``images``."""
