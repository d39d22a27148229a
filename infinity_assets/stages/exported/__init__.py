"""Stages ``exported_<format>``: the lines of a plan, in order, in the formats that trainers read."""
