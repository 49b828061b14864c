"""What a load process is told: which broker, which workload, how large. Goes to it as JSON."""

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Site:
    """One measurement, as one of its load processes sees it."""

    workload: str  # key
    port: int
    broker: int  # process id
    payload: int  # bytes
    seconds: float  # of the measured part
    many: int  # clients of the workloads that want very many of them
    certificate: str | None = None  # file: speak TLS and trust this one
    index: int = 0  # which of the load processes this is
    processes: int = 1
    shared: str | None = None  # file of one counter per process, where there are several

    def dumps(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def loads(cls, line: str) -> "Site":
        """The value that `dumps` wrote."""
        return cls(**json.loads(line))

    def share(self, total: int) -> range:
        """Numbers of the clients that this process holds, of `total`."""
        return range(self.index, total, self.processes)
