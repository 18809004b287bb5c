/* The only way across threads: a letter is pushed by anybody and opened by the thread that owns the box.
 *
 *   any thread ──mailbox_post──▶ lock-free stack ──uv_async──▶ owner's loop opens them in the order posted
 *
 * A letter is the sender's memory until it is opened; open may free or reuse it. */
#ifndef PROXY_MAILBOX_H
#define PROXY_MAILBOX_H

#include <stdatomic.h>
#include <uv.h>

struct letter {
    struct letter *next;
    void (*open)(void *owner, struct letter *letter);
};

struct mailbox {
    _Atomic(struct letter *) head;
    uv_async_t async;
    void *owner;
};

/* Returns 0 or a libuv error. */
int mailbox_init(struct mailbox *box, uv_loop_t *loop, void *owner);

/* From any thread, as long as the box is open. */
void mailbox_post(struct mailbox *box, struct letter *letter);

/* Owner's thread. What is still in it is opened first. */
void mailbox_close(struct mailbox *box);

#endif
