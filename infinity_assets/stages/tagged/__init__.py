"""What a sample is about, and what kind of question it asks: by vocabulary and rule, without a model."""
