"""A folder for ``PYTHONPATH`` of the vLLM server, where its torch has no CUDA."""
