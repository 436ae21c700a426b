"""The models that benchmarks measure, a module for each family."""
