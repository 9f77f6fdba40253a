"""What functions that merge pages return, by name."""

from errno import errorcode

PKSM_RESULTS = {1: "PKSM_FAULT_DROP", 2: "PKSM_FAULT_TRY"}
"""What try_to_merge_one_anon_page returns besides 0 (mm/pksm.c, 3.10); no function of mm/ksm.c
returns a positive number."""


def result_name(err: int) -> str:
    """EFAULT for -EFAULT, PKSM's name for a positive number; the number where there is none."""
    return PKSM_RESULTS.get(err) or errorcode.get(-err, str(err))
