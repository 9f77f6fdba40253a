"""Probe maps: where functions that the compiler inlined begin in one kernel build, and where their arguments are.

`format` reads and writes the maps and needs nothing else; `dwarf` makes them out of a vmlinux with debug info.
"""
