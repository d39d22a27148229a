"""Row contracts as data (one YAML for each stage) and the engine that audits a staged table against them."""
