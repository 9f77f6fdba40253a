/* What every probe uses: the ring, or the counts in its place (TOTALS_ONLY), the count of what was
 * lost, kernel reads by offset.
 *
 * Offsets and addresses come from BTF and kallsyms as -D numbers (RMAP_ITEM_MM, SYM_KSM_SCAN, ...),
 * so that no kernel header is needed and one text fits every kernel. */
#pragma once

#include <uapi/linux/ptrace.h>

#define PAGE_ADDRESS(x) ((x) & ~(PAGE_BYTES - 1ULL))
#define PAGE_NUMBER(x) ((x) / PAGE_BYTES)
#define LESS(a, b) ((a) < (b) ? (a) : (b))
#define MORE(a, b) ((a) > (b) ? (a) : (b))
#define KERNEL_STABLE_FLAG 0x200
#define KERNEL_UNSTABLE_FLAG 0x100

struct producer {
    u64 sent;
    u64 lost;
    u64 seq;
};
BPF_PERCPU_ARRAY(producers, struct producer, 1);
BPF_ARRAY(losses, u64, 1); /* of all CPUs: ksmd's thread reads it when a pass ends */

static __always_inline void read_bytes(void *to, u32 size, u64 from)
{
#ifdef TOTALS_ONLY
    __builtin_memset(to, 0, size); /* nothing of it is counted */
#else
    bpf_probe_read_kernel(to, size, (void *)from);
#endif
}

static __always_inline u64 read64(u64 address)
{
    u64 value = 0;
    read_bytes(&value, sizeof(value), address);
    return value;
}

/* A member, 8 bytes long, of what an argument points at: a trampoline's argument has its type, and
 * the verifier lets loads from it be plain ones. TYPED_<body> tells that a body's are such. */
#define MEMBER(argument, offset) (*(u64 *)((argument) + (offset)))

static __always_inline u32 read32(u64 address)
{
    u32 value = 0;
    read_bytes(&value, sizeof(value), address);
    return value;
}

static __always_inline int in_ksmd(void)
{
    return (u32)bpf_get_current_pid_tgid() == KSMD_PID;
}

/* How often programs of hooks that every thread passes ran in ksmd: by place in SHARED of
 * sources/live/hook_threads.py. */
BPF_PERCPU_ARRAY(ksmd_runs, u64, 8);

static __always_inline void count_ksmd_run(int which)
{
    u64 *runs = ksmd_runs.lookup(&which);
    if (runs)
        (*runs)++;
}

#ifdef TOTALS_ONLY
/* By kind, whether it is about the zero page, and result. */
BPF_PERCPU_HASH(totals, u32, u64, 1024);

static __always_inline void submit(struct ksm_event *event)
{
    u32 key = (u32)event->kind << 24 | (u32)(event->flags & ZERO_PAGE) << 16 | (u16)event->err;
    u64 none = 0, *count = totals.lookup_or_try_init(&key, &none);
    if (count)
        __sync_fetch_and_add(count, 1);
}
#else
BPF_RINGBUF_OUTPUT(events, RING_PAGES);

/* Programs may interrupt one another on a CPU: all additions are atomic. */
static __always_inline void count_lost(struct producer *producer, u64 lost)
{
    int zero = 0;
    __sync_fetch_and_add(&producer->lost, lost);
    u64 *of_all = losses.lookup(&zero);
    if (of_all)
        __sync_fetch_and_add(of_all, lost);
}

/* A wake-up per event would cost ksmd several page scans each; the reader polls instead. It makes
 * `records` of what is written; `second` is in the bytes behind the event, or 0. */
static __always_inline void submit_as(struct ksm_event *event, u64 bytes, struct ksm_event *second,
                                      u64 records)
{
    int zero = 0;
    struct producer *producer = producers.lookup(&zero);
    if (!producer)
        return;
    event->seq = (u16)producer->seq;
    producer->seq += records;
    event->cpu = (u16)bpf_get_smp_processor_id();
    if (second) {
        second->seq = event->seq + 1;
        second->cpu = event->cpu;
    }
    if (!events.ringbuf_output(event, bytes, BPF_RB_NO_WAKEUP)) {
        producer->sent += records;
        return;
    }
    count_lost(producer, records);
}

static __always_inline void submit(struct ksm_event *event)
{
    submit_as(event, sizeof(*event), 0, 1);
}
#endif

static __always_inline u64 events_lost(void)
{
    int zero = 0;
    u64 *lost = losses.lookup(&zero);
    return lost ? *lost : 0;
}

static __always_inline void submit_plain(u8 kind, u64 mm, u64 aux)
{
    struct ksm_event event = {};
    event.ts = bpf_ktime_get_ns();
    event.kind = kind;
    event.mm = mm;
    event.aux = aux;
    submit(&event);
}

static __always_inline void submit_item(u8 kind, u8 flags, s16 err, u64 rmap_item, u64 mm, u64 pfn,
                                        u64 aux)
{
    struct ksm_event event = {};
    event.ts = bpf_ktime_get_ns();
    event.kind = kind;
    event.flags = flags;
    event.err = err;
    event.rmap_item = rmap_item;
    event.mm = mm;
    event.address = PAGE_ADDRESS(read64(rmap_item + RMAP_ITEM_ADDRESS));
    event.pfn = pfn;
    event.aux = aux;
    submit(&event);
}

static __always_inline void submit_sample(u32 gauge, u64 value, u8 flags)
{
    struct ksm_event event = {};
    event.ts = bpf_ktime_get_ns();
    event.kind = SAMPLE;
    event.flags = flags;
    event.address = gauge;
    event.aux = value;
    submit(&event);
}

/* Flags *_BEFORE from an rmap_item's address word; *_AFTER are the same bits, two places up. */
static __always_inline u8 tree_flags(u64 address_word)
{
    u8 flags = 0;
    if (address_word & KERNEL_STABLE_FLAG)
        flags |= STABLE_BEFORE;
    if (address_word & KERNEL_UNSTABLE_FLAG)
        flags |= UNSTABLE_BEFORE;
    return flags;
}
