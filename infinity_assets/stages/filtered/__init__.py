"""Format and quality: measures of each sample, and the verdict that one policy file derives from them."""
