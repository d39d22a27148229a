"""RAM++ (arXiv 2310.15200): which of its tags a picture shows, as logits; an optional extra, ``[ram]``.

The network is the project's own, in torch alone, and takes the published weights through explicit rules
(:mod:`.checkpoint`). Only :mod:`.swin`, :mod:`.network` and what needs them import torch.
"""
