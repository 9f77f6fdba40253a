"""KSM in pure Python: a model of mm/ksm.c that can be read, run, and held against a kernel.

It has three modes, which decide alike in every case, so that counters and events are the same, one by one:

- `plain` is mm/ksm.c page by page, with trees of rmap_items and stable nodes. It is what the others are held against.
- `exact` makes the same comparisons, and its trees have the same shape, but it looks pages up by content (`content_index`), keeps no objects of
  pages that nobody looks at one by one (`columns`), and examines thousands of those at once (`bulk`: `decide`, then `bulk_merge`). What the
  kernel would compare follows from the shape of its trees (`shape`, `bulk_comparisons`), and is known already as long as a pass goes as the one
  before it went (`unstable_log`).
- `fast` does without the shape of the unstable tree, and counts no comparisons.

Where a decision hangs on the way that a search takes, the other two make objects and walk as the plain mode does:

- A page that has joined the unstable tree in this pass is written to, unmapped or put out of ksmd's reach: the tree may be out of order,
  and a search may go astray or end there. The tree is made, of the log of the pass so far, and walked until the pass ends.
- A stable node has lost its page, or there are chains: a search changes those that it meets. The stable tree, which all modes keep in
  the kernel's shape, is walked until they are gone, page by page.
- `merge_across_nodes` is 0: all is walked.
- A page has been seen that does not repeat one word of 8 bytes: the exact mode walks to count, though it still decides by content.

So they are fast where new pages and pages that change all the time are written to, and little faster than the plain mode for the rest of a
pass in which one did that had joined the tree. Pages that a fork has shared, pinned ones and those of mappings with huge pages are always
examined one by one, and so are all pages under a `Watcher` that does not take many at once.
"""
