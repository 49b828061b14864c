"""Side-by-side benchmarks of the MQTT engine: `make bench`.

Every workload runs against each broker in turn, round after round in the same process tree, and only the ratios count: on a shared
machine an absolute number says more about the neighbours than about the broker.
"""
