"""Real servers of the software that Azure runs. `make conformance` runs these tests; the ordinary suite skips them."""
