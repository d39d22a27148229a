"""Scores by a model: the loss of every answer, and FineVision's four ratings."""
