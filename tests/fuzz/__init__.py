"""`make fuzz` throws a million inputs at what reads bytes of strangers; `make test` runs a short one of each.

Each module has a `run(inputs, seed)` that feeds so many inputs, made by chance from the seed, and raises what it should not have.
"""
