"""Memory of processes: address spaces, page tables, page frames and faults; no algorithm that merges pages."""
