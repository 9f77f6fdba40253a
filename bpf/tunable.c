/* Writes to the files of /sys/kernel/mm/ksm: all of them pass sysfs_kf_write, with the attribute
 * that names the file. The *_store functions that it leads to are no key: khugepaged has a
 * pages_to_scan_store too. KSM's attributes are those in ksm_attrs, the list from which the folder
 * is made. */

#define MOST_ATTRIBUTES 64
#define NAME_BYTES 24
#define TEXT_BYTES 16

BPF_HASH(tunable_writes, u64, struct ksm_event);

static __always_inline int is_of_ksm(u64 attribute)
{
#pragma unroll
    for (int index = 0; index < MOST_ATTRIBUTES; index++) {
        u64 one = read64(SYM_KSM_ATTRS + index * sizeof(u64));
        if (!one || one == attribute)
            return one != 0;
    }
    return 0;
}

static __always_inline int on_sysfs_kf_write(u64 file, u64 text, u64 size)
{
    u64 attribute = read64(read64(file + KERNFS_OPEN_FILE_KN) + KERNFS_NODE_PRIV);
    if (!is_of_ksm(attribute))
        return 0;
    /* Each has room for a NUL, which a string that is too long gets in place of its last byte. */
    char name[NAME_BYTES + 8] = {};
    char value[TEXT_BYTES + 8] = {};
    bpf_probe_read_kernel_str(name, NAME_BYTES + 1, (void *)read64(attribute + ATTRIBUTE_NAME));
    bpf_probe_read_kernel_str(value, TEXT_BYTES + 1, (void *)text);
    struct ksm_event event = {};
    event.ts = bpf_ktime_get_ns();
    event.kind = TUNABLE;
    event.flags = size > TEXT_BYTES ? CUT : 0;
    __builtin_memcpy(&event.address, name, NAME_BYTES);
    __builtin_memcpy(&event.oldchecksum, value, sizeof(u64));
    __builtin_memcpy(&event.aux, value + sizeof(u64), sizeof(u64));
    u64 task = bpf_get_current_pid_tgid();
    tunable_writes.update(&task, &event);
    count_tunable_write();
    return 0;
}

static __always_inline int on_sysfs_kf_write_return(u64 result)
{
    u64 task = bpf_get_current_pid_tgid();
    struct ksm_event *write = tunable_writes.lookup(&task);
    if (!write)
        return 0;
    struct ksm_event event = *write;
    tunable_writes.delete(&task);
    event.mm = place_of_ksmd();
    count_tunable_write();
    event.err = (s64)result < 0 ? (s16)(s64)result : 0;
    submit(&event);
    return 0;
}
