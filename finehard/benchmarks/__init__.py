"""The world's benchmarks of models of images and texts."""
