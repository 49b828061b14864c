"""`akela up`: everything on one machine, as supervised processes."""
