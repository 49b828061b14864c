"""Event loops for the engine: the one that it uses first, then what else the package index has for this Python."""

from typing import Final

from bench.peers.akela import Akela

AKELAS: Final = (
    Akela(),
    Akela("asyncio", loop="asyncio"),
    Akela("rloop", loop="rloop:new_event_loop"),
    Akela("loopmini", loop="loopmini:new_event_loop"),
    Akela("bracio", loop="bracio:BracioLoop"),
    Akela("rsloop", loop="rsloop:new_event_loop"),
    Akela("zuvloop", loop="zuvloop:new_event_loop"),
    Akela("uringcore", loop="uringcore:new_event_loop"),
)
