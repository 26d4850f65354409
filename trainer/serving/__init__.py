"""A server that reads images: micro-batches, limits, metrics, and a page for the camera."""
