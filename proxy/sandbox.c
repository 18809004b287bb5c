/* The filter is a list of what may be done. A call that is not on it fails with EPERM rather than ending the process: a new
 * libc that tries a new call first, and has an old one to fall back on, must not take every session down with it. But what
 * nothing in Turnout ever does and an intruder does first (another program, another process's memory) ends it at once. */
#include "proxy/sandbox.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

/* --- user and memory ----------------------------------------------------------------------------------------- */

/* The sanitizers look into the process from outside, and start helpers when they report. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SANITIZER = true };
#else
enum { SANITIZER = false };
#endif

static bool find_ids(const struct config *config, uid_t *uid, gid_t *gid, char *error, size_t cap)
{
    *uid = getuid();
    *gid = getgid();
    if (config->user != NULL) {
        const struct passwd *user = getpwnam(config->user);
        if (user == NULL) {
            snprintf(error, cap, "there is no user %s", config->user);
            return false;
        }
        *uid = user->pw_uid;
        *gid = user->pw_gid;
    }
    if (config->group != NULL) {
        const struct group *group = getgrnam(config->group);
        if (group == NULL) {
            snprintf(error, cap, "there is no group %s", config->group);
            return false;
        }
        *gid = group->gr_gid;
    }
    return true;
}

static bool become(uid_t uid, gid_t gid, char *error, size_t cap)
{
    if (uid == getuid() && gid == getgid()) {
        return true;
    }
    if (setgroups(0, NULL) != 0 || setresgid(gid, gid, gid) != 0 || setresuid(uid, uid, uid) != 0) {
        snprintf(error, cap, "cannot become user %u and group %u: %s", (unsigned)uid, (unsigned)gid,
                 strerror(errno));
        return false;
    }
    if (uid != 0 && setuid(0) == 0) {
        snprintf(error, cap, "root was given up, but can be had again");
        return false;
    }
    return true;
}

static void hide_memory(void)
{
    const struct rlimit none = {0, 0};
    (void)setrlimit(RLIMIT_CORE, &none);
    if (!SANITIZER) {
        (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    }
}

bool sandbox_drop(const struct config *config, char *error, size_t cap)
{
    uid_t uid;
    gid_t gid;
    if (!find_ids(config, &uid, &gid, error, cap) || !become(uid, gid, error, cap)) {
        return false;
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        snprintf(error, cap, "new privileges cannot be renounced: %s", strerror(errno));
        return false;
    }
    if (!config->core_dumps) {
        hide_memory();
    }
    return true;
}

/* --- the filter ---------------------------------------------------------------------------------------------- */

static bool left_out(const struct config *config, const char *why, char *error, size_t cap)
{
    snprintf(error, cap, "no filter of system calls: %s", why);
    return config->sandbox != SANDBOX_ON;
}

#ifdef HAVE_SECCOMP

#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* By name, since not every machine has each of them; one that it does not have is passed over. */
static const char *const allowed[] = {
    /* files: logs, config and certificates again, the state directory, name resolution */
    "access", "close", "close_range", "dup", "dup2", "dup3", "faccessat", "faccessat2", "fadvise64",
    "fallocate", "fchmod", "fcntl", "fdatasync", "flock", "fstat", "fstatfs", "fsync", "ftruncate", "getcwd",
    "getdents64", "lseek", "lstat", "mkdir", "mkdirat", "newfstatat", "open", "openat", "pread64", "pwrite64",
    "pwritev", "preadv", "read", "readlink", "readlinkat", "readv", "rename", "renameat", "renameat2",
    "sendfile", "stat", "statfs", "statx", "umask", "unlink", "unlinkat", "write", "writev",
    /* sockets */
    "accept", "accept4", "bind", "connect", "getpeername", "getsockname", "getsockopt", "listen", "recvfrom",
    "recvmmsg", "recvmsg", "sendmmsg", "sendmsg", "sendto", "setsockopt", "shutdown", "socketpair",
    /* events and time */
    "clock_getres", "clock_gettime", "clock_nanosleep", "epoll_create", "epoll_create1", "epoll_ctl",
    "epoll_pwait", "epoll_pwait2", "epoll_wait", "eventfd", "eventfd2", "gettimeofday", "nanosleep", "pipe",
    "pipe2", "poll", "ppoll", "pselect6", "select", "time", "timerfd_create", "timerfd_settime",
    "timerfd_gettime", "times",
    /* memory and threads */
    "arch_prctl", "brk", "exit", "exit_group", "futex", "get_robust_list", "madvise", "membarrier", "mlock",
    "mmap", "mprotect", "mremap", "msync", "munlock", "munmap", "prctl", "restart_syscall", "rseq",
    "rt_sigaction", "rt_sigpending", "rt_sigprocmask", "rt_sigreturn", "rt_sigtimedwait", "sched_getaffinity",
    "sched_getparam", "sched_getscheduler", "sched_setaffinity", "sched_setscheduler", "sched_yield",
    "set_robust_list", "set_tid_address", "sigaltstack", "tgkill",
    /* about itself and the machine */
    "getegid", "geteuid", "getgid", "getgroups", "getpgrp", "getpid", "getppid", "getrandom", "getresgid",
    "getresuid", "getrlimit", "getrusage", "gettid", "getuid", "prlimit64", "setrlimit", "sysinfo", "uname"};

static const char *const deadly[] = {
    "execve",      "execveat",       "ptrace",       "process_vm_readv", "process_vm_writev",
    "bpf",         "init_module",    "finit_module", "kexec_load",       "mount",
    "pivot_root",  "unshare",        "setns",        "keyctl",           "add_key",
    "userfaultfd", "perf_event_open"};

static const int families[] = {AF_INET, AF_INET6, AF_UNIX, AF_NETLINK};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static bool add_all(scmp_filter_ctx filter, uint32_t action, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int number = seccomp_syscall_resolve_name(names[i]);
        if (number != __NR_SCMP_ERROR && seccomp_rule_add(filter, action, number, 0) != 0) {
            return false;
        }
    }
    return true;
}

/* Any but input to terminals: the numbers that differ from its own in one of the 32 bits that the kernel looks at. Compared
 * as a whole, one with a bit above them would pass for another. */
static bool add_ioctl(scmp_filter_ctx filter)
{
    for (unsigned i = 0; i < 32; i++) {
        scmp_datum_t bit = (scmp_datum_t)1 << i;
        if (seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
                             SCMP_A1(SCMP_CMP_MASKED_EQ, bit, ~(scmp_datum_t)TIOCSTI & bit)) != 0) {
            return false;
        }
    }
    return true;
}

/* What depends on how it is called: sockets of four families, threads but no processes, no input to terminals. clone3 hides
 * what it asks for; without it, libc takes clone. */
static bool add_conditional(scmp_filter_ctx filter)
{
    for (size_t i = 0; i < COUNT(families); i++) {
        if (seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
                             SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)families[i])) != 0) {
            return false;
        }
    }
    return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                            SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD)) == 0 &&
           seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0) == 0 && add_ioctl(filter);
}

static int install(void)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    int error = ENOMEM;
    if (filter == NULL) {
        return error;
    }
    (void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_LOG, 1); /* what is refused, to the machine's audit log */
    if (seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1) == 0 &&
        add_all(filter, SCMP_ACT_ALLOW, allowed, COUNT(allowed)) &&
        add_all(filter, SCMP_ACT_KILL_PROCESS, deadly, COUNT(deadly)) && add_conditional(filter)) {
        error = -seccomp_load(filter);
    }
    seccomp_release(filter);
    return error;
}

bool sandbox_close(const struct config *config, char *error, size_t cap)
{
    error[0] = '\0';
    if (config->sandbox == SANDBOX_OFF) {
        return left_out(config, "sandbox = off", error, cap);
    }
    if (SANITIZER) {
        return left_out(config, "this is a sanitizer's build, which needs more than the filter allows", error,
                        cap);
    }
    int failed = install();
    return failed == 0 || left_out(config, strerror(failed), error, cap);
}

#else

bool sandbox_close(const struct config *config, char *error, size_t cap)
{
    return left_out(config, "this program was built without libseccomp", error, cap);
}

#endif
