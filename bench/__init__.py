"""Side-by-side benchmarks of the MQTT engine: `make bench`.

A peer (`bench.peers`) is a broker that the bench starts, with authentication and a topic gate on, alone on one core. A load process
(`bench.load`) on the other core runs one workload (`bench.workloads`) against it, over packets that were built before. Every
workload runs against each peer in turn, round after round (`bench.rounds`), and only the ratios within a round count: on a shared
machine an absolute number says more about the neighbours than about the broker.
"""
