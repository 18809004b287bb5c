/* Letters from several threads: each is opened once, in its sender's order, in the owner's thread. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdlib.h>

#include "proxy/mailbox.h"

enum { SENDERS = 4, LETTERS = 20000 };

struct note {
    struct letter letter; /* first */
    unsigned sender, number;
};

struct owner {
    struct mailbox box;
    uv_loop_t loop;
    pthread_t thread;
    unsigned next[SENDERS]; /* the number expected of each */
    unsigned opened;
    unsigned until; /* close after so many */
    struct note *reply;
};

static struct owner owner;

static void open_note(void *of, struct letter *letter)
{
    struct note *note = (struct note *)letter;
    assert_ptr_equal(of, &owner);
    assert_true(pthread_equal(pthread_self(), owner.thread));
    assert_int_equal(note->number, owner.next[note->sender]);
    owner.next[note->sender]++;
    owner.opened++;
    free(note);
    if (owner.opened == owner.until) {
        mailbox_close(&owner.box);
    }
}

static void post(unsigned sender, unsigned number)
{
    struct note *note = malloc(sizeof *note);
    assert_non_null(note);
    *note = (struct note){.letter.open = open_note, .sender = sender, .number = number};
    mailbox_post(&owner.box, &note->letter);
}

static void *send_all(void *arg)
{
    unsigned sender = (unsigned)(uintptr_t)arg;
    for (unsigned i = 0; i < LETTERS; i++) {
        post(sender, i);
    }
    return NULL;
}

static int begin(void **state)
{
    (void)state;
    owner = (struct owner){.thread = pthread_self()};
    if (uv_loop_init(&owner.loop) != 0) {
        return -1;
    }
    return mailbox_init(&owner.box, &owner.loop, &owner);
}

static int end(void **state)
{
    (void)state;
    uv_run(&owner.loop, UV_RUN_DEFAULT);
    return uv_loop_close(&owner.loop);
}

static void opens_each_letter_once_in_order(void **state)
{
    (void)state;
    pthread_t threads[SENDERS];
    owner.until = SENDERS * LETTERS;
    for (unsigned i = 0; i < SENDERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, send_all, (void *)(uintptr_t)i), 0);
    }
    uv_run(&owner.loop, UV_RUN_DEFAULT); /* until the box is closed */
    for (unsigned i = 0; i < SENDERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(owner.next[i], LETTERS);
    }
}

static void opens_nothing_before_the_loop_turns(void **state)
{
    (void)state;
    post(0, 0);
    post(0, 1);
    assert_int_equal(owner.opened, 0);
    uv_run(&owner.loop, UV_RUN_NOWAIT);
    assert_int_equal(owner.opened, 2);
    mailbox_close(&owner.box);
}

static void opens_what_is_left_when_it_closes(void **state)
{
    (void)state;
    post(0, 0);
    post(1, 0);
    mailbox_close(&owner.box);
    assert_int_equal(owner.opened, 2);
}

static void open_and_post_again(void *of, struct letter *letter)
{
    (void)of;
    owner.opened++;
    if (owner.opened < 5) {
        mailbox_post(&owner.box, letter); /* its memory is ours now */
    }
}

static void a_letter_may_be_posted_again_when_opened(void **state)
{
    (void)state;
    struct letter letter = {.open = open_and_post_again};
    mailbox_post(&owner.box, &letter);
    for (unsigned i = 0; i < 10 && owner.opened < 5; i++) {
        uv_run(&owner.loop, UV_RUN_NOWAIT);
    }
    assert_int_equal(owner.opened, 5);
    mailbox_close(&owner.box);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(opens_each_letter_once_in_order, begin, end),
        cmocka_unit_test_setup_teardown(opens_nothing_before_the_loop_turns, begin, end),
        cmocka_unit_test_setup_teardown(opens_what_is_left_when_it_closes, begin, end),
        cmocka_unit_test_setup_teardown(a_letter_may_be_posted_again_when_opened, begin, end),
    };
    return cmocka_run_group_tests_name("mailbox", tests, NULL, NULL);
}
