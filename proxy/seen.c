#include "proxy/seen.h"

#include "proxy/client.h"
#include "proxy/log.h"
#include "smpp/receipt.h"

/* The message index knows which link accepted the message that a receipt is about. SMSCs that count their messages give
 * the same ids: where this link gave that id, too, the receipt is about its own message for all we know. */
static bool is_of_another(struct leg *leg, const struct smpp_message_view *view)
{
    struct worker *w = leg->conn.worker;
    const struct client *client = client_find(w, leg->client);
    struct smpp_span id;
    if (client == NULL || !smpp_receipt_id(view, &id)) {
        return false;
    }
    message_index_settle(&w->ids_put);
    int number = message_index_find(w->ids, client->id_key, id.p, id.len, w->now_s);
    int own = w->bundle->link_number[leg->link];
    return number >= 0 && number != own &&
           !message_index_has(w->ids, client->id_key, id.p, id.len, own, w->now_s);
}

static void look_for_twin(struct leg *leg, struct traffic_cell *cell, const struct smpp_message_view *view)
{
    struct worker *w = leg->conn.worker;
    if (!twice_seen(&w->shared->twice, twice_hash(view), leg->platform, w->now_s)) {
        return;
    }
    traffic_mo_twice(cell, w->now);
    metric_add(&w->metrics->mo_twice, 1);
    if (twice_may_tell(&w->shared->twice, w->now_s)) {
        log_event(EVENT_MO_TWICE, LOG_SPAN("shortcode", view->dest.digits.p, view->dest.digits.len),
                  LOG_TEXT("carrier", w->config->carrier_of[leg->carrier] == NULL
                                          ? "?"
                                          : w->config->carrier_of[leg->carrier]->name),
                  LOG_NUMBER("source", view->source.digits.p, view->source.digits.len));
    }
}

static void count(struct leg *leg, struct traffic_cell *cell, const struct smpp_message_view *view,
                  bool is_receipt)
{
    struct worker *w = leg->conn.worker;
    bool watched = traffic_is_watched(&w->traffic, cell, w->now_s);
    if (is_receipt) {
        bool wrong = watched && leg->platform != cell->route.platform && is_of_another(leg, view);
        traffic_receipt(cell, leg->platform, wrong, w->now);
        return;
    }
    traffic_mo(cell, leg->platform, w->now);
    if (watched) {
        look_for_twin(leg, cell, view);
    }
}

struct seen seen(struct leg *leg, const struct smpp_event *event)
{
    struct worker *w = leg->conn.worker;
    struct seen seen = {.cell = 0};
    struct smpp_message_view view;
    struct route route;
    struct traffic_cell *cell = NULL;
    if (!smpp_view_message(event->pdu, event->header.length, &view)) {
        return seen;
    }
    seen.is_receipt = smpp_is_receipt(view.esm_class);
    if (w->table == NULL || !traffic_find(&w->traffic, w->table, (const char *)view.dest.digits.p,
                                          view.dest.digits.len, leg->carrier, w->now, &route, &cell)) {
        return seen;
    }
    seen.not_open = route.state != ROUTE_OPEN;
    if (cell != NULL) {
        count(leg, cell, &view, seen.is_receipt);
        seen.cell = traffic_mo_handle(cell, seen.is_receipt);
    }
    return seen;
}
