"""Memory of processes: address spaces, page tables, page frames and faults; nothing that merges."""
