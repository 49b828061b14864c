"""A small run, made up."""

from bench.results import Cell, PeerInfo, Results, Row


def a_run() -> Results:
    machine = {"processor": "P", "cores": "2", "memory": "4 GiB", "system": "S", "python": "CPython 3"}
    settings = {"rounds": 2, "seconds": 1.0, "payloads": [100], "many": 10, "processes": 1}
    results = Results("2026-01-02", machine, settings)
    results.peers = {
        "akela": PeerInfo("1"),
        "fast": PeerInfo("2"),
        "shy": PeerInfo("3", open_gates=("acl",)),
        "gone": PeerInfo("", missing="no such package"),
        "ceiling": PeerInfo("1"),
    }
    results.rows = [
        Row("a", "publish", 100, "", "messages/s", False, None, {
            "akela": Cell([100.0, 300.0], [0.5, 0.7], [0.9, 1.0]), "fast": Cell([200.0, 100.0], [0.1, 0.1], [1.0, 1.0]),
            "shy": Cell(reason="it cannot"), "ceiling": Cell([1000.0, 1000.0]),
        }),
        Row("i", "latency", 1024, "p50", "ms", True, None, {"akela": Cell([1.0, 1.0]), "fast": Cell([2.0, 4.0])}),
        Row("n0", "cost, nobody else", 100, "", "messages/s", False, 0, {"akela": Cell([900.0, 900.0], [0.1, 0.1], [1.0, 1.0])}),
        Row("n1", "cost, 1,000 other clients", 100, "", "messages/s", False, 1000, {"akela": Cell([600.0, 300.0], [0.1, 0.1], [1.0, 0.5])}),
    ]  # fmt: skip
    return results
