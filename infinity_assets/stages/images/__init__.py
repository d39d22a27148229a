"""One row per distinct picture: its bytes, its true format and what can be measured from one decode."""
