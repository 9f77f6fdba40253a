"""Probe maps: where in one kernel build inlined functions begin, and where their arguments are.

`format` reads and writes the maps and needs nothing else; `dwarf` makes them out of a vmlinux with
debug info.
"""
