"""wellposed beside other libraries, on the same arrays in the same run: ``python -m benchmarks --help``."""
