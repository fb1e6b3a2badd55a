"""What the techniques need and Keras lacks: one operation a file, its reference beside it."""
