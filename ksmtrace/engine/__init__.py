"""KSM in pure Python: a model of mm/ksm.c that can be read, run, and held against a kernel.

It has two modes. The exact mode walks both trees as the kernel does: their shape and the number of comparisons are the kernel's. The
fast mode looks pages up by content (`unstable_index`, `Ksm.stable_index`) and passes over settled pages together (`stretch`); it
counts no comparisons. Both decide alike in every case, so that counters and events are the same, one by one. Where a decision hangs on
the way that a search takes, the fast mode walks as well:

- A page in the unstable tree was written to, unmapped or put out of ksmd's reach: the tree may be out of order, and a search may go
  astray or end there. The tree is made from the log of the pass so far, and walked until the pass ends.
- A stable node has lost its page, or there are chains: a search changes those that it meets. The stable tree, which both modes keep in
  the kernel's shape, is walked until they are gone.
- `merge_across_nodes` is 0: all is walked.

So the fast mode is fast where memory is written to between two passes, and no faster than the exact one where that happens all through
them.
"""
