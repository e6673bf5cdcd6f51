"""What was asked and answered, the solutions learned from it, and context made of them."""
