"""KSM in pure Python: a model of mm/ksm.c that can be read, run, and held against a kernel.

It has two modes, which decide alike in every case, so that counters and events are the same, one by
one:

- `reference` is mm/ksm.c page by page, with trees of rmap_items and stable nodes:
  `ksmtrace.engine.ksm`. It is what the other mode is held against.
- `accelerated` looks pages up by content (`bulk.content_index`), keeps no objects of pages that
  nobody looks at one by one (`bulk.columns`), and examines thousands of those at once
  (`bulk.examine`: `bulk.decide`, then `bulk.merge_many`).

The accelerated mode may count comparisons, and then follows the shape of the kernel's trees: what
the kernel would compare follows from that (`bulk.shadow_tree`, `bulk.comparisons`), and is known
already as long as a pass goes as the one before it went (`bulk.unstable_log`). Without counting it
is faster where trees are being built.

Where a decision hangs on the way that a search takes, the accelerated mode makes objects and walks
as the reference does:

- A page that has joined the unstable tree in this pass is written to, unmapped or put out of ksmd's
  reach: the tree may be out of order, and a search may go astray or end there. The tree is made, of
  the log of the pass so far, and walked until the pass ends.
- A stable node has lost its page, or there are chains: a search changes those that it meets. The
  stable tree, which both modes keep in the kernel's shape, is walked page by page where a search
  comes by one of them.
- `merge_across_nodes` is 0: all is walked.
- A page has been seen that does not repeat one word of 8 bytes: to count is to walk, though
  decisions are still made by content.

So it is fast where new pages and pages that change all the time are written to, and little faster
than the reference for the rest of a pass in which one did that had joined the tree. Pages that a
fork has shared, pinned ones and those of mappings with huge pages are always examined one by one,
and so are all pages under a `Watcher` that does not take many at once.
"""
