"""`python -m akela`."""

from akela.cli.main import main

main()
