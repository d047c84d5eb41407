"""Pure NumPy and OpenCV mathematics, shared by engines."""
