"""What is measured when training has ended."""
