"""What gives image tags: one interface, whether they are read from captions or seen in pixels."""
