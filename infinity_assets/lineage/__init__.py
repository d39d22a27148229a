"""The story of a sample: where it came from, what every stage decided and why, and where it went."""
