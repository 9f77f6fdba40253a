/* Works for the bench of probes, inside an instruction-counting guest, where time is instructions:
 *
 *   worker memory PAGES   a process with mergeable pages, which obeys lines on stdin
 *   worker ksmd PID       runs ksmd pass by pass, one batch at a time, for lines on stdin
 *   worker everybody      prints what faults, pipes and fork and exec cost a process
 *   worker nothing        exits: what is executed */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#define PAGE 4096UL
#define LEAST_TOUCHED 128
#define ROUNDS 61

static void die(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int count)
{
    qsort(values, count, sizeof(*values), by_value);
    return values[count / 2];
}

static unsigned char *map(size_t pages)
{
    unsigned char *memory = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        die("mmap");
    madvise(memory, pages * PAGE, MADV_NOHUGEPAGE);
    return memory;
}

/* A page of one word over and over: mixed, so that pages differ in their first bytes, as most do. */
static void fill(unsigned char *page, uint64_t number)
{
    uint64_t *word = (uint64_t *)page, mixed = (number + 1) * 0x9E3779B97F4A7C15ULL;
    for (size_t i = 0; i < PAGE / sizeof(*word); i++)
        word[i] = mixed;
}

/* fill FIRST COUNT SEED REPEAT ROUND: pages REPEAT by REPEAT of one content, SEED and up, and from
 * SEED again after ROUND contents
 * poke FIRST COUNT: every page is written to and has its content again; answers with the median of
 * the time stamp counter's ticks a write */
static void memory(size_t pages)
{
    unsigned char *all = map(pages);
    if (madvise(all, pages * PAGE, MADV_MERGEABLE))
        die("MADV_MERGEABLE");
    char line[256], op[16];
    while (fgets(line, sizeof(line), stdin)) {
        unsigned long first = 0, count = 0, seed = 0, repeat = 1, round = ~0UL;
        double took = 0;
        if (sscanf(line, "%15s %lu %lu %lu %lu %lu", op, &first, &count, &seed, &repeat, &round) < 3)
            die("what is asked for");
        if (!strcmp(op, "fill")) {
            for (unsigned long i = 0; i < count; i++)
                fill(all + (first + i) * PAGE, seed + i / repeat % round);
        } else {
            double *writes = calloc(count + 1, sizeof(*writes));
            for (unsigned long i = 0; i < count; i++) {
                volatile unsigned char *byte = all + (first + i) * PAGE;
                uint64_t start = __rdtsc();
                *byte ^= 1;
                writes[i] = __rdtsc() - start;
                *byte ^= 1;
            }
            took = median(writes, count);
            free(writes);
        }
        printf("%.1f\n", took);
        fflush(stdout);
    }
}

static void read_file(const char *path, char *text, size_t size)
{
    int file = open(path, O_RDONLY);
    ssize_t got = file < 0 ? -1 : read(file, text, size - 1);
    if (got < 0)
        die(path);
    text[got] = 0;
    close(file);
}

static unsigned long counter(const char *name)
{
    char path[64], text[64];
    snprintf(path, sizeof(path), "/sys/kernel/mm/ksm/%s", name);
    read_file(path, text, sizeof(text));
    return strtoul(text, NULL, 10);
}

static void write_tunable(const char *name, unsigned long value)
{
    char path[64], text[32];
    snprintf(path, sizeof(path), "/sys/kernel/mm/ksm/%s", name);
    int file = open(path, O_WRONLY), size = snprintf(text, sizeof(text), "%lu", value);
    if (file < 0 || write(file, text, size) != size)
        die(path);
    close(file);
}

static int is_asleep(const char *pid)
{
    char path[64], text[512];
    snprintf(path, sizeof(path), "/proc/%s/syscall", pid);
    read_file(path, text, sizeof(text));
    if (!strncmp(text, "running", 7))
        return 0;
    snprintf(path, sizeof(path), "/proc/%s/stat", pid);
    read_file(path, text, sizeof(text));
    return strrchr(text, ')')[2] == 'S';
}

/* Each line is a number of passes. ksmd sleeps an hour after each batch, with `run` 1; a write of a
 * different sleep_millisecs wakes it for the next. A batch ends with its pass. Answers with the
 * nanoseconds of ksmd, and the batches. */
static void ksmd(const char *pid)
{
    char path[64], text[128], line[64];
    const struct timespec pause = {0, 2000000};
    unsigned long flip = 0;
    snprintf(path, sizeof(path), "/proc/%s/schedstat", pid);
    while (fgets(line, sizeof(line), stdin)) {
        unsigned long until = counter("full_scans") + strtoul(line, NULL, 10), batches = 0;
        read_file(path, text, sizeof(text));
        unsigned long long before = strtoull(text, NULL, 10);
        while (counter("full_scans") < until) {
            write_tunable("sleep_millisecs", 3600000 + (++flip & 1));
            do
                nanosleep(&pause, NULL);
            while (!is_asleep(pid));
            batches++;
        }
        read_file(path, text, sizeof(text));
        printf("%llu %lu\n", strtoull(text, NULL, 10) - before, batches);
        fflush(stdout);
    }
}

static double anonymous_fault(void)
{
    unsigned char *region = map(LEAST_TOUCHED);
    double runs[ROUNDS];
    for (int run = 0; run < ROUNDS; run++) {
        madvise(region, LEAST_TOUCHED * PAGE, MADV_DONTNEED);
        uint64_t start = __rdtsc();
        for (size_t i = 0; i < LEAST_TOUCHED; i++)
            *(volatile unsigned char *)(region + i * PAGE) = 1;
        runs[run] = (double)(__rdtsc() - start) / LEAST_TOUCHED;
    }
    munmap(region, LEAST_TOUCHED * PAGE);
    return median(runs, ROUNDS);
}

/* A parent's write to a page that it shares with a child. */
static double write_after_fork(void)
{
    unsigned char *region = map(LEAST_TOUCHED);
    double runs[ROUNDS];
    for (int run = 0; run < ROUNDS; run++) {
        for (size_t i = 0; i < LEAST_TOUCHED; i++)
            region[i * PAGE] = 1;
        pid_t child = fork();
        if (child < 0)
            die("fork");
        if (!child)
            for (;;)
                pause();
        uint64_t start = __rdtsc();
        for (size_t i = 0; i < LEAST_TOUCHED; i++)
            *(volatile unsigned char *)(region + i * PAGE) = 2;
        runs[run] = (double)(__rdtsc() - start) / LEAST_TOUCHED;
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
    }
    munmap(region, LEAST_TOUCHED * PAGE);
    return median(runs, ROUNDS);
}

/* There and back: two processes wake each other and sleep. */
static double pipe_ping_pong(void)
{
    int there[2], back[2];
    char byte = 0;
    double runs[ROUNDS];
    if (pipe(there) || pipe(back))
        die("pipe");
    pid_t child = fork();
    if (child < 0)
        die("fork");
    if (!child) {
        close(there[1]);
        while (read(there[0], &byte, 1) == 1)
            if (write(back[1], &byte, 1) != 1)
                break;
        _exit(0);
    }
    for (int run = 0; run < ROUNDS; run++) {
        uint64_t start = __rdtsc();
        for (int i = 0; i < 64; i++)
            if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1)
                die("pipe");
        runs[run] = (double)(__rdtsc() - start) / 64;
    }
    close(there[1]);
    waitpid(child, NULL, 0);
    return median(runs, ROUNDS);
}

static double fork_and_exec(const char *self)
{
    double runs[ROUNDS];
    for (int run = 0; run < ROUNDS; run++) {
        uint64_t start = __rdtsc();
        pid_t child = fork();
        if (child < 0)
            die("fork");
        if (!child) {
            execl(self, self, "nothing", (char *)NULL);
            _exit(1);
        }
        waitpid(child, NULL, 0);
        runs[run] = (double)(__rdtsc() - start);
    }
    return median(runs, ROUNDS);
}

int main(int count, char **arguments)
{
    const char *what = count > 1 ? arguments[1] : "";
    if (!strcmp(what, "nothing"))
        return 0;
    if (!strcmp(what, "memory") && count == 3)
        memory(strtoul(arguments[2], NULL, 10));
    else if (!strcmp(what, "ksmd") && count == 3)
        ksmd(arguments[2]);
    else if (!strcmp(what, "everybody"))
        printf("%.1f %.1f %.1f %.1f\n", anonymous_fault(), write_after_fork(), pipe_ping_pong(),
               fork_and_exec(arguments[0]));
    else
        return 2;
    return 0;
}
