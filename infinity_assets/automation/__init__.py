"""What runs by itself: a nightly schedule, and sensors that notice what is out of step."""
