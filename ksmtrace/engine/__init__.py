"""KSM in pure Python: a model of mm/ksm.c that can be read, run, and held against a kernel."""
