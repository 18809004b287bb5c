#include "proxy/mailbox.h"

#include <stddef.h>

static struct letter *take_in_order(struct mailbox *box)
{
    struct letter *stack = atomic_exchange_explicit(&box->head, NULL, memory_order_acquire);
    struct letter *queue = NULL;
    while (stack != NULL) {
        struct letter *next = stack->next;
        stack->next = queue;
        queue = stack;
        stack = next;
    }
    return queue;
}

static void open_all(struct mailbox *box)
{
    struct letter *queue = take_in_order(box);
    while (queue != NULL) {
        struct letter *letter = queue;
        queue = letter->next;
        letter->open(box->owner, letter);
    }
}

static void on_async(uv_async_t *async)
{
    open_all(async->data);
}

int mailbox_init(struct mailbox *box, uv_loop_t *loop, void *owner)
{
    atomic_init(&box->head, NULL);
    box->owner = owner;
    int error = uv_async_init(loop, &box->async, on_async);
    box->async.data = box;
    return error;
}

void mailbox_post(struct mailbox *box, struct letter *letter)
{
    struct letter *head = atomic_load_explicit(&box->head, memory_order_relaxed);
    do {
        letter->next = head;
    } while (!atomic_compare_exchange_weak_explicit(&box->head, &head, letter, memory_order_release,
                                                    memory_order_relaxed));
    uv_async_send(&box->async);
}

void mailbox_close(struct mailbox *box)
{
    open_all(box);
    uv_close((uv_handle_t *)&box->async, NULL);
}
