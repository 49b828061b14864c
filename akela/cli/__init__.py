"""The `akela` command: the root, and the commands that talk to a running Akela. Servers add theirs by entry point."""
