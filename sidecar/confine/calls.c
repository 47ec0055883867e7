/* The filter is a table turned into BPF: for each row, compare the number and leave with its
 * verdict. A kernel since 5.11 remembers which calls are allowed whatever their arguments, so the
 * length of the table costs nothing there; the calls of the hot path come first for the others.
 *
 * ENOSYS rather than EPERM for the unknown: libraries ask that way what a kernel has, and fall back
 * (glibc from clone3 to clone, whose flags a filter can see). */
#include "sidecar/confine/confine.h"

#include "common/assert.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined __x86_64__
#define OUR_ARCH AUDIT_ARCH_X86_64
#elif defined __aarch64__
#define OUR_ARCH AUDIT_ARCH_AARCH64
#else
#error "say here which numbers system calls have on this machine"
#endif

struct row {
    int call;
    enum { ALLOW, ALLOW_IF_EQUAL, ALLOW_IF_BITS, KILL } verdict;
    unsigned argument; /* which one is looked at, its lower half */
    uint32_t value;
};

static const struct row rows[] = {
    /* the hot path */
    {.call = SYS_futex},
    {.call = SYS_read},
    {.call = SYS_write},
    {.call = SYS_readv},
    {.call = SYS_writev},
    {.call = SYS_pread64},
    {.call = SYS_pwrite64},
    {.call = SYS_pwritev},
    {.call = SYS_preadv},
    {.call = SYS_fdatasync},
    {.call = SYS_epoll_pwait},
    {.call = SYS_epoll_ctl},
    {.call = SYS_recvfrom},
    {.call = SYS_sendto},
    {.call = SYS_recvmsg},
    {.call = SYS_sendmsg},
    {.call = SYS_ppoll},
    {.call = SYS_accept4},
    {.call = SYS_clock_gettime},
    {.call = SYS_clock_nanosleep},
#ifdef SYS_epoll_wait /* x86_64 has calls that newer machines were spared */
    {.call = SYS_epoll_wait},
    {.call = SYS_poll},
#endif

    /* files */
    {.call = SYS_openat},
    {.call = SYS_close},
    {.call = SYS_close_range},
    {.call = SYS_lseek},
    {.call = SYS_fstat},
    {.call = SYS_newfstatat},
    {.call = SYS_statx},
    {.call = SYS_statfs},
    {.call = SYS_fstatfs},
    {.call = SYS_faccessat},
    {.call = SYS_faccessat2},
    {.call = SYS_readlinkat},
    {.call = SYS_getdents64},
    {.call = SYS_getcwd},
    {.call = SYS_fcntl},
    {.call = SYS_flock},
    {.call = SYS_fsync},
    {.call = SYS_sync_file_range},
    {.call = SYS_fallocate},
    {.call = SYS_fadvise64},
    {.call = SYS_ftruncate},
    {.call = SYS_truncate},
    {.call = SYS_renameat},
    {.call = SYS_renameat2},
    {.call = SYS_unlinkat},
    {.call = SYS_mkdirat},
    {.call = SYS_umask},
    {.call = SYS_dup},
    {.call = SYS_dup3},
    {.call = SYS_pipe2},
    {.call = SYS_eventfd2},
    {.call = SYS_timerfd_create},
    {.call = SYS_timerfd_settime},
    {.call = SYS_timerfd_gettime},
    {.call = SYS_epoll_create1},
    {.call = SYS_epoll_pwait2},
    {.call = SYS_pselect6},
    {.call = SYS_inotify_init1},
    {.call = SYS_inotify_add_watch},
    {.call = SYS_inotify_rm_watch},
    {.call = SYS_ioctl, .verdict = ALLOW_IF_EQUAL, .argument = 1, .value = FIONBIO},
    {.call = SYS_ioctl, .verdict = ALLOW_IF_EQUAL, .argument = 1, .value = FIONREAD},
    {.call = SYS_ioctl, .verdict = ALLOW_IF_EQUAL, .argument = 1, .value = FIOCLEX},
    {.call = SYS_ioctl, .verdict = ALLOW_IF_EQUAL, .argument = 1, .value = TCGETS},
    {.call = SYS_ioctl, .verdict = ALLOW_IF_EQUAL, .argument = 1, .value = TIOCGWINSZ},
    {.call = SYS_ioctl, .verdict = ALLOW_IF_EQUAL, .argument = 1, .value = SIOCGIFNAME},
    {.call = SYS_ioctl, .verdict = ALLOW_IF_EQUAL, .argument = 1, .value = SIOCGIFINDEX},
#ifdef SYS_open
    {.call = SYS_open},
    {.call = SYS_stat},
    {.call = SYS_lstat},
    {.call = SYS_access},
    {.call = SYS_readlink},
    {.call = SYS_getdents},
    {.call = SYS_rename},
    {.call = SYS_unlink},
    {.call = SYS_rmdir},
    {.call = SYS_mkdir},
    {.call = SYS_dup2},
    {.call = SYS_pipe},
    {.call = SYS_eventfd},
    {.call = SYS_epoll_create},
    {.call = SYS_select},
    {.call = SYS_inotify_init},
#endif

    /* the network; packets and the kernel's other families are nobody's business here */
    {.call = SYS_socket, .verdict = ALLOW_IF_EQUAL, .argument = 0, .value = AF_INET},
    {.call = SYS_socket, .verdict = ALLOW_IF_EQUAL, .argument = 0, .value = AF_INET6},
    {.call = SYS_socket, .verdict = ALLOW_IF_EQUAL, .argument = 0, .value = AF_UNIX},
    {.call = SYS_socket, .verdict = ALLOW_IF_EQUAL, .argument = 0, .value = AF_NETLINK},
    {.call = SYS_socketpair},
    {.call = SYS_connect},
    {.call = SYS_bind},
    {.call = SYS_listen},
    {.call = SYS_accept},
    {.call = SYS_getsockname},
    {.call = SYS_getpeername},
    {.call = SYS_setsockopt},
    {.call = SYS_getsockopt},
    {.call = SYS_sendmmsg},
    {.call = SYS_recvmmsg},
    {.call = SYS_shutdown},

    /* memory */
    {.call = SYS_mmap},
    {.call = SYS_munmap},
    {.call = SYS_mremap},
    {.call = SYS_mprotect},
    {.call = SYS_madvise},
    {.call = SYS_brk},

    /* threads, signals, time */
    {.call = SYS_clone, .verdict = ALLOW_IF_BITS, .argument = 0, .value = CLONE_THREAD},
    {.call = SYS_clone3}, /* see hold_clone3() */
    {.call = SYS_exit},
    {.call = SYS_exit_group},
    {.call = SYS_set_robust_list},
    {.call = SYS_set_tid_address},
    {.call = SYS_rseq},
    {.call = SYS_membarrier},
    {.call = SYS_sched_yield},
    {.call = SYS_sched_getaffinity},
    {.call = SYS_sched_getparam},
    {.call = SYS_sched_getscheduler},
    {.call = SYS_getcpu},
    {.call = SYS_gettid},
    {.call = SYS_getpid},
    {.call = SYS_getppid},
    {.call = SYS_tgkill},
    {.call = SYS_rt_sigaction},
    {.call = SYS_rt_sigprocmask},
    {.call = SYS_rt_sigpending},
    {.call = SYS_rt_sigreturn},
    {.call = SYS_rt_sigtimedwait},
    {.call = SYS_sigaltstack},
    {.call = SYS_restart_syscall},
    {.call = SYS_nanosleep},
    {.call = SYS_clock_getres},
    {.call = SYS_gettimeofday},
    {.call = SYS_setitimer},
    {.call = SYS_prctl, .verdict = ALLOW_IF_EQUAL, .argument = 0, .value = PR_SET_NAME},
    {.call = SYS_prctl, .verdict = ALLOW_IF_EQUAL, .argument = 0, .value = PR_GET_NAME},
#ifdef SYS_time
    {.call = SYS_time},
    {.call = SYS_alarm},
#endif

    /* what one may know */
    {.call = SYS_getrandom},
    {.call = SYS_uname},
    {.call = SYS_sysinfo},
    {.call = SYS_times},
    {.call = SYS_getrusage},
    {.call = SYS_prlimit64},
    {.call = SYS_getuid},
    {.call = SYS_geteuid},
    {.call = SYS_getgid},
    {.call = SYS_getegid},
#ifdef SYS_getrlimit
    {.call = SYS_getrlimit},
#endif

    /* nothing of ours ever does this */
    {.call = SYS_execve, .verdict = KILL},
    {.call = SYS_execveat, .verdict = KILL},
    {.call = SYS_ptrace, .verdict = KILL},
    {.call = SYS_process_vm_readv, .verdict = KILL},
    {.call = SYS_process_vm_writev, .verdict = KILL},
    {.call = SYS_mount, .verdict = KILL},
    {.call = SYS_umount2, .verdict = KILL},
    {.call = SYS_pivot_root, .verdict = KILL},
    {.call = SYS_chroot, .verdict = KILL},
    {.call = SYS_unshare, .verdict = KILL},
    {.call = SYS_setns, .verdict = KILL},
    {.call = SYS_bpf, .verdict = KILL},
    {.call = SYS_perf_event_open, .verdict = KILL},
    {.call = SYS_userfaultfd, .verdict = KILL},
    {.call = SYS_init_module, .verdict = KILL},
    {.call = SYS_finit_module, .verdict = KILL},
    {.call = SYS_kexec_load, .verdict = KILL},
    {.call = SYS_reboot, .verdict = KILL},
};

enum {
    ROWS = sizeof rows / sizeof rows[0],
    INSTRUCTIONS_MAX = 5 * ROWS + 8,
};

struct program {
    struct sock_filter code[INSTRUCTIONS_MAX];
    unsigned short len;
};

static void emit(struct program *program, uint16_t code, uint32_t k, uint8_t if_true,
                 uint8_t if_false)
{
    ASSERT(program->len < INSTRUCTIONS_MAX);
    program->code[program->len++] = (struct sock_filter){code, if_true, if_false, k};
}

static void load(struct program *program, size_t offset)
{
    emit(program, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

static void leave(struct program *program, uint32_t verdict)
{
    emit(program, BPF_RET | BPF_K, verdict, 0, 0);
}

/* With the call's number loaded before and after. */
static void emit_row(struct program *program, const struct row *row)
{
    bool looks = row->verdict == ALLOW_IF_EQUAL || row->verdict == ALLOW_IF_BITS;
    uint16_t test = row->verdict == ALLOW_IF_BITS ? BPF_JSET : BPF_JEQ;

    emit(program, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)row->call, 0, looks ? 4 : 1);
    if (looks) { /* both kinds of machine are little-endian: the lower half comes first */
        load(program, offsetof(struct seccomp_data, args) + (size_t)8 * row->argument);
        emit(program, (uint16_t)(BPF_JMP | test | BPF_K), row->value, 0, 1);
    }
    leave(program, row->verdict == KILL ? SECCOMP_RET_KILL_PROCESS : SECCOMP_RET_ALLOW);
    if (looks)
        load(program, offsetof(struct seccomp_data, nr));
}

static void begin(struct program *program)
{
    load(program, offsetof(struct seccomp_data, arch));
    emit(program, BPF_JMP | BPF_JEQ | BPF_K, OUR_ARCH, 1, 0);
    leave(program, SECCOMP_RET_KILL_PROCESS);
    load(program, offsetof(struct seccomp_data, nr));
}

static bool hold(struct program *program, unsigned flags)
{
    const struct sock_fprog filter = {.len = program->len, .filter = program->code};

    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &filter) == 0;
}

/* clone3 keeps its flags where a filter can't look, and glibc tries it for each thread: refused by
 * a filter of its own, that is no line in the audit log each time. */
static bool hold_clone3(void)
{
    struct program program = {.len = 0};

    begin(&program);
    emit(&program, BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1);
    leave(&program, SECCOMP_RET_ERRNO | ENOSYS);
    leave(&program, SECCOMP_RET_ALLOW);
    return hold(&program, 0);
}

static bool hold_table(void)
{
    struct program program = {.len = 0};

    begin(&program);
    for (size_t i = 0; i < ROWS; i++)
        emit_row(&program, &rows[i]);
    leave(&program, SECCOMP_RET_ERRNO | ENOSYS);
    return hold(&program, SECCOMP_FILTER_FLAG_LOG);
}

enum err confine_calls(bool *ret_held, struct error *error)
{
    if (hold_clone3() && hold_table()) {
        *ret_held = true;
        return OK;
    }
    if (errno != ENOSYS && errno != EINVAL &&
        errno != EPERM) /* EPERM: a filter that we are under */
        return error_set_errno(error, ERR_IO, "filter system calls");
    *ret_held = false;
    return OK;
}
