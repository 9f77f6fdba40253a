"""KSM in pure Python: a model of mm/ksm.c that can be read, run, and held against a kernel.

It has two modes. The exact mode walks both trees as the kernel does: their shape and the number of comparisons are the kernel's. The
fast mode looks pages up by content (`content_index`), keeps no objects of pages that nobody looks at one by one (`columns`), and
examines thousands of those at once (`bulk`: `decide`, then `bulk_merge`); it counts no comparisons. Both decide alike in every case, so
that counters and events are the same, one by one. Where a decision hangs on the way that a search takes, the fast mode makes objects
and walks as well:

- A page in the unstable tree was written to, unmapped or put out of ksmd's reach during the pass: the tree may be out of order, and a
  search may go astray or end there. The tree is made from the log of the pass so far, and walked until the pass ends.
- A stable node has lost its page, or there are chains: a search changes those that it meets. The stable tree, which both modes keep in
  the kernel's shape, is walked until they are gone.
- `merge_across_nodes` is 0: all is walked.

So the fast mode is fast where memory is written to between two passes, and no faster than the exact one where that happens all through
them. Pages that a fork has shared, pinned ones and those of mappings with huge pages are always examined one by one, and so are all pages
under a `Watcher` that does not take many at once.
"""
