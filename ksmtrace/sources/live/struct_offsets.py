"""Offsets of struct members, and values of enumerators, by their macro in the C text."""

from __future__ import annotations

from collections.abc import Mapping

from ksmtrace.errors import HostError
from ksmtrace.kernel.btf import Btf

OFFSETS: Mapping[str, tuple[str, ...]] = {
    "RMAP_ITEM_ADDRESS": ("ksm_rmap_item.address", "rmap_item.address"),
    "RMAP_ITEM_MM": ("ksm_rmap_item.mm", "rmap_item.mm"),
    "RMAP_ITEM_OLDCHECKSUM": ("ksm_rmap_item.oldchecksum", "rmap_item.oldchecksum"),
    "RMAP_ITEM_RMAP_LIST": ("ksm_rmap_item.rmap_list", "rmap_item.rmap_list"),
    "RMAP_ITEM_AGE": ("ksm_rmap_item.age",),
    "RMAP_ITEM_SKIPS": ("ksm_rmap_item.remaining_skips",),
    "RMAP_ITEM_HEAD": ("ksm_rmap_item.head", "rmap_item.head"),
    "STABLE_NODE_KPFN": ("ksm_stable_node.kpfn", "stable_node.kpfn"),
    "STABLE_NODE_HLIST": ("ksm_stable_node.hlist", "stable_node.hlist"),
    "KSM_SCAN_MM_SLOT": ("ksm_scan.mm_slot",),
    "KSM_SCAN_ADDRESS": ("ksm_scan.address",),
    "KSM_SCAN_RMAP_LIST": ("ksm_scan.rmap_list",),
    "KSM_SCAN_SEQNR": ("ksm_scan.seqnr",),
    # khugepaged has a struct mm_slot too; before 6.1 ours is the one that has the member
    "MM_SLOT_MM": ("ksm_mm_slot.slot.mm", "mm_slot.mm"),
    "MM_SLOT_MM_NODE": ("ksm_mm_slot.slot.mm_node", "mm_slot.mm_list"),
    "MM_SLOT_RMAP_LIST": ("ksm_mm_slot.rmap_list", "mm_slot.rmap_list"),
    "MM_WALK_PRIVATE": ("mm_walk.private",),
    "NEXT_PAGE_PAGE": ("ksm_next_page_arg.page",),
    "NEXT_PAGE_ADDR": ("ksm_next_page_arg.addr",),
    "MM_OWNER": ("mm_struct.owner",),
    "MM_FLAGS": ("mm_struct.flags",),
    "MM_USERS": ("mm_struct.mm_users",),
    "TASK_MM": ("task_struct.mm",),
    "TASK_TGID": ("task_struct.tgid",),
    "TASK_COMM": ("task_struct.comm",),
    "TASK_STATE": ("task_struct.__state", "task_struct.state"),
    "VMA_MM": ("vm_area_struct.vm_mm",),
    "VMF_VMA": ("vm_fault.vma",),
    "VMF_ADDRESS": ("vm_fault.address",),
    "VMF_ORIG_PTE": ("vm_fault.orig_pte",),
    "KERNFS_OPEN_FILE_KN": ("kernfs_open_file.kn",),
    "KERNFS_NODE_PRIV": ("kernfs_node.priv",),
    "ATTRIBUTE_NAME": ("attribute.name",),
    "PAGE_MAPPING": ("page.mapping", "folio.mapping"),
    "PAGE_FLAGS": ("page.flags",),
    "PAGE_FLAG_HEAD": ("pageflags.PG_head",),
    "PAGE_COMPOUND_HEAD": ("page.compound_head", "page.compound_info"),
    "PAGE_REFCOUNT": ("page._refcount",),
    "PAGE_MAPCOUNT": ("page._mapcount",),
}
"""Macro to "struct.member"s or "enum.enumerator"s; names differ between kernels: the first that the
kernel has is it."""


def resolve_offset(macro: str, btf: Btf) -> int:
    """Offset in bytes, or the enumerator's value.

    Raises:
        HostError: this kernel has none of the members.
    """
    for place in OFFSETS[macro]:
        struct, member = place.split(".", 1)
        if btf.has_member(struct, member):
            return btf.offset(struct, member)
        value = btf.enumerator(struct, member)
        if value is not None:
            return value
    raise HostError(f"BTF has no {' or '.join(OFFSETS[macro])}")
