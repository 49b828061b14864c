"""How a fleet converges: 10,000 endpoints of a whole Akela (Operations, Control, embedded database) on one machine.

The devices are protocols on one loop that do what a device must and nothing else; Akela's servers are plain processes, started as an
administrator starts them. Each number is taken at the devices or read back from the database, never from the servers' own word.
"""
