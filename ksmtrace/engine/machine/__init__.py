"""Memory of processes: address spaces, page tables, page frames, faults; nothing that merges."""
