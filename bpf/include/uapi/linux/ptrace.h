/* Registers at a kprobe on x86-64, in the order of the kernel's struct pt_regs. */
#pragma once
struct pt_regs {
    unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8;
    unsigned long ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
};
