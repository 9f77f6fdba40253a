"""Who shares pages with whom by KSM, and whether a policy lets them."""
