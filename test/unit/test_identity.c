/* Who holds a name: the dead are followed, the living are not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "routing/identity.h"

/* The pid of a process that has been and is no more. */
static int dead_pid(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        _exit(0);
    }
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    return (int)pid;
}

static const char *taken(const char *token, const char *host, int pid)
{
    static char error[256];
    snprintf(error, sizeof error, "TAKEN %s %s %d", token, host, pid);
    return error;
}

static void a_dead_process_of_this_host_is_followed_once(void **state)
{
    (void)state;
    struct identity me;
    identity_init(&me, "turnout-1");
    const char *error = taken("00112233aabbccdd", me.host, dead_pid());
    assert_true(identity_is_taken(error));
    assert_true(identity_taken(&me, error));
    assert_string_equal(me.takes_over, "00112233aabbccdd");
    assert_false(me.aliased);
    assert_false(identity_taken(&me, error)); /* it did not help */
    assert_true(me.aliased);
}

static void the_living_keep_their_name(void **state)
{
    (void)state;
    struct identity me;
    identity_init(&me, "turnout-1");
    const char *const errors[] = {taken("00112233aabbccdd", me.host, (int)getppid()), "TAKEN", "TAKEN x"};
    for (unsigned i = 0; i < 3; i++) {
        me.aliased = false;
        assert_false(identity_taken(&me, errors[i]));
        assert_true(me.aliased);
    }
    assert_false(identity_taken(&me, taken("00112233aabbccdd", "elsewhere", dead_pid())));
    assert_false(
        identity_taken(&me, taken("00112233aabbccdd", me.host, me.pid))); /* pid 1 of another container */
    assert_string_equal(me.takes_over, "");
}

static void tokens_and_aliases_differ(void **state)
{
    (void)state;
    struct identity a;
    struct identity b;
    identity_init(&a, "turnout-1");
    identity_init(&b, "turnout-1");
    assert_string_not_equal(a.token, b.token);
    assert_int_equal(strncmp(a.alias, "turnout-1~", 10), 0);
    assert_false(identity_is_taken("ERR unknown"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_dead_process_of_this_host_is_followed_once),
        cmocka_unit_test(the_living_keep_their_name),
        cmocka_unit_test(tokens_and_aliases_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
