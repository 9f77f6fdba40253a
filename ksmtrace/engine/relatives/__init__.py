"""Relatives of KSM that merge pages by rules of their own: PKSM, and zero-page merging alone."""
