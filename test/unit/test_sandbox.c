/* The filter of system calls, in processes of its own: what must go on working, what fails, and what ends the process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proxy/sandbox.h"

enum { GOOD = 0, BAD = 1, NO_FILTER = 77 };

/* What a child does behind the filter; its value is the exit status. */
typedef int deed(void);

static int in_child(const struct config *config, deed *act)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        char error[300] = "";
        const struct rlimit no_core = {0, 0};
        (void)setrlimit(RLIMIT_CORE, &no_core);
        if (!sandbox_close(config, error, sizeof error))
            _exit(BAD);
        _exit(error[0] != '\0' ? NO_FILTER : act());
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static const struct config automatic = {.sandbox = SANDBOX_AUTO};

/* The status of the child, or skips the test where there is no filter to be had, and says why. */
static int filtered(deed *act)
{
    int status = in_child(&automatic, act);
    if (WIFEXITED(status) && WEXITSTATUS(status) == NO_FILTER) {
        char why[300];
        (void)sandbox_close(&automatic, why, sizeof why);
        /* Every other reason is a fault. */
        assert_true(strstr(why, "sanitizer's build") != NULL || strstr(why, "without libseccomp") != NULL);
        print_message("skipped: %s\n", why);
        skip();
    }
    return status;
}

static void assert_good(deed *act)
{
    int status = filtered(act);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), GOOD);
}

static void assert_killed(deed *act)
{
    int status = filtered(act);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGSYS);
}

static void *nothing(void *arg)
{
    return arg;
}

static int starts_a_thread(void)
{
    pthread_t thread;
    return pthread_create(&thread, NULL, nothing, NULL) == 0 && pthread_join(thread, NULL) == 0 ? GOOD : BAD;
}

static int resolves(void)
{
    struct addrinfo *found = NULL;
    if (getaddrinfo("localhost", "2775", NULL, &found) != 0)
        return BAD;
    freeaddrinfo(found);
    return GOOD;
}

static int keeps_files(void)
{
    char path[] = "/tmp/test_sandbox.XXXXXX";
    int fd = mkstemp(path);
    bool good = fd >= 0 && posix_fallocate(fd, 0, 4096) == 0 && fsync(fd) == 0;
    void *mapped = good ? mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;
    good = mapped != MAP_FAILED && munmap(mapped, 4096) == 0 && unlink(path) == 0;
    return good ? GOOD : BAD;
}

static int is_refused_a_raw_socket(void)
{
    return socket(AF_PACKET, SOCK_RAW, 0) == -1 && errno == EPERM ? GOOD : BAD;
}

static int is_refused_a_process(void)
{
    pid_t child = fork();
    if (child == 0)
        _exit(GOOD);
    return child == -1 && errno == EPERM ? GOOD : BAD;
}

static int is_refused_others(void)
{
    return kill(getppid(), 0) == -1 && errno == EPERM && chmod("/tmp", 0777) == -1 && errno == EPERM ? GOOD
                                                                                                     : BAD;
}

/* The kernel looks at 32 bits of the request; on a descriptor that is none, EPERM is the filter's word. */
static int says(unsigned long request)
{
    enum { NO_FD = 999 };
    char input = 'x';
    return syscall(SYS_ioctl, NO_FD, request, &input) == -1 ? errno : 0;
}

static int is_refused_input_to_terminals(void)
{
    unsigned long above = 1UL << 32;
    bool refused = says(TIOCSTI) == EPERM && says(TIOCSTI | above) == EPERM;
    return refused && says(FIONBIO) == EBADF && says(TIOCGWINSZ) == EBADF ? GOOD : BAD;
}

static int runs_a_program(void)
{
    (void)execl("/bin/true", "true", (char *)NULL);
    return BAD;
}

static void what_is_needed_works(void **state)
{
    (void)state;
    assert_good(starts_a_thread);
    assert_good(resolves);
    assert_good(keeps_files);
}

static void what_is_not_needed_fails(void **state)
{
    (void)state;
    assert_good(is_refused_a_raw_socket);
    assert_good(is_refused_a_process);
    assert_good(is_refused_others);
    assert_good(is_refused_input_to_terminals);
}

static void another_program_ends_the_process(void **state)
{
    (void)state;
    assert_killed(runs_a_program);
}

static int runs_on(void)
{
    return GOOD;
}

static void off_is_off(void **state)
{
    (void)state;
    const struct config off = {.sandbox = SANDBOX_OFF};
    int status = in_child(&off, runs_on);
    assert_int_equal(WEXITSTATUS(status), NO_FILTER);
}

static void an_unknown_user_is_refused(void **state)
{
    (void)state;
    char error[300] = "";
    char name[] = "nobody-of-this-name";
    const struct config nobody = {.user = name};
    const struct config nogroup = {.group = name};
    assert_false(sandbox_drop(&nobody, error, sizeof error));
    assert_string_equal(error, "there is no user nobody-of-this-name");
    assert_false(sandbox_drop(&nogroup, error, sizeof error));
    assert_string_equal(error, "there is no group nobody-of-this-name");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_unknown_user_is_refused),
        cmocka_unit_test(off_is_off),
        cmocka_unit_test(what_is_needed_works),
        cmocka_unit_test(what_is_not_needed_fails),
        cmocka_unit_test(another_program_ends_the_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
