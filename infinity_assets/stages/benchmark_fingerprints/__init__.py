"""What benchmarks are recognised by in training data. Only the measure of ``filtered`` may read it."""
