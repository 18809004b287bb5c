#include "test/sim/parts.h"

#include <stdio.h>
#include <stdlib.h>

#include "smpp/constants.h"
#include "proxy/client.h"
#include "proxy/legs.h"
#include "smpp/encode.h"

#define RULE_PARTS "multipart: all parts of a message on one platform"

/* So long a session must have been well after a part arrived by another one, to be held to it. */
enum { JUDGE_S = 4 };

static struct series *all;

void series_begin(void)
{
    while (all != NULL) {
        struct series *s = all;
        all = s->older;
        free(s);
    }
}

/* And was accepted, and in time: a part that comes when the time of the first is over begins a message of its own, which those of the next
 * one with the same reference would complete. */
static bool has_arrived_whole(const struct series *s)
{
    for (unsigned i = 0; i < s->total; i++) {
        if (s->parts[i] == NULL || s->parts[i]->seen == 0 || !s->parts[i]->answered ||
            s->parts[i]->status != ESME_ROK ||
            s->parts[i]->seen_at + SECOND >= s->began + shape.parts_s * SECOND) {
            return false;
        }
    }
    return true;
}

/* Else a message of which it has forgotten the first parts is not complete for it, and goes on with the next. */
static bool has_room_for_parts(const struct process *p)
{
    uint64_t evicted = 0;
    for (unsigned i = 0; i < p->workers_count; i++) {
        evicted += metric_get(&p->workers[i]->metrics->multipart_evicted);
    }
    return evicted == 0;
}

struct series *series_new(const struct process *at, unsigned shortcode, unsigned carrier,
                          const struct series *before)
{
    struct series *s = calloc(1, sizeof *s);
    if (s == NULL) {
        abort();
    }
    *s = (struct series){.older = all,
                         .began = sim_now,
                         .at = at,
                         .shortcode = shortcode,
                         .carrier = carrier,
                         .kind = (enum series_kind)sim_random(3),
                         .reference = (uint16_t)sim_random(4),
                         .total = (unsigned)sim_between(2, PARTS_MAX),
                         .shuffled = sim_chance(300)};
    all = s;
    snprintf(s->to, sizeof s->to, "%s%07u", carrier == 0 ? "6427" : "6421", (unsigned)sim_random(10000000));
    if (before != NULL && before->at == at && sim_chance(600)) {
        bool again = sim_chance(400) && has_arrived_whole(before) && at->alive && has_room_for_parts(at);
        s->shortcode = before->shortcode;
        s->carrier = before->carrier;
        s->kind = before->kind;
        s->total = before->total;
        s->reference = (uint16_t)(before->reference + !again);
        snprintf(s->to, sizeof s->to, "%s", before->to);
    }
    s->left = (1U << s->total) - 1;
    return s;
}

unsigned series_next(const struct series *s)
{
    unsigned at = s->shuffled ? (unsigned)sim_random(s->total) : 0;
    while ((s->left & 1U << at) == 0) {
        at = (at + 1) % s->total;
    }
    return at;
}

/* 3GPP TS 23.040 9.2.3.24.1 and 9.2.3.24.8: length, then element, its length, reference, total, number. */
size_t series_header(const struct message *m, uint8_t header[SERIES_HEADER_MAX])
{
    const struct series *s = m->series;
    uint8_t *p = header;
    if (s->kind == SERIES_SAR) {
        return 0;
    }
    bool wide = s->kind == SERIES_UDH_16;
    *p++ = wide ? 6 : 5;
    *p++ = wide ? 0x08 : 0x00;
    *p++ = wide ? 4 : 3;
    if (wide) {
        *p++ = (uint8_t)(s->reference >> 8);
    }
    *p++ = (uint8_t)s->reference;
    *p++ = (uint8_t)s->total;
    *p++ = (uint8_t)(m->part + 1);
    return (size_t)(p - header);
}

/* SMPP 3.4, 5.3.2.22 to 24 */
size_t series_tlvs(const struct message *m, uint8_t tlvs[SERIES_TLVS_MAX])
{
    const struct series *s = m->series;
    uint8_t reference[] = {(uint8_t)(s->reference >> 8), (uint8_t)s->reference};
    uint8_t total = (uint8_t)s->total;
    uint8_t number = (uint8_t)(m->part + 1);
    if (s->kind != SERIES_SAR) {
        return 0;
    }
    size_t len = smpp_encode_tlv(tlvs, SERIES_TLVS_MAX, SMPP_TAG_SAR_MSG_REF_NUM, reference, 2);
    len += smpp_encode_tlv(tlvs + len, SERIES_TLVS_MAX - len, SMPP_TAG_SAR_TOTAL_SEGMENTS, &total, 1);
    return len + smpp_encode_tlv(tlvs + len, SERIES_TLVS_MAX - len, SMPP_TAG_SAR_SEGMENT_SEQNUM, &number, 1);
}

/* --- the rule -------------------------------------------------------------------------------------------- */

/* Has the session been well since that time? */
static bool was_well(const struct wire *wire, uint64_t since)
{
    return wire->far != NULL && !wire->near_closing && !wire->leaving && !wire->orphan && wire->reading &&
           wire->disturbed <= since && !wire_frozen(wire) && wire->process->reloaded <= since;
}

/* The wire of the leg that a client's session has to a link now; NULL: none, or it speaks TLS. */
static const struct wire *leg_of(const struct wire *session, unsigned link)
{
    const struct process *p = session->process;
    const struct leg *leg = NULL;
    for (unsigned i = 0; i < p->workers_count; i++) {
        for (uint32_t at = 0; session->near != NULL && at < p->workers[i]->clients.capacity; at++) {
            const struct client *client = registry_at(&p->workers[i]->clients, at);
            if (client != NULL && client->conn.stream == session->near) {
                leg = legs_at(client, link);
            }
        }
    }
    for (const struct wire *wire = wires; leg != NULL && wire != NULL; wire = wire->older) {
        if (wire->near != NULL && wire->near == leg->conn.stream) {
            return wire;
        }
    }
    return NULL;
}

static bool may_be_judged(const struct message *m, const struct message *other, uint64_t began)
{
    if (m->from != other->from && (m->leg_then == NULL || !was_well(m->leg_then, began))) {
        return false;
    }
    return was_well(other->to, began) && was_well(m->to, began);
}

static void judge(void *ctx, uint64_t number)
{
    const struct message *m = ctx;
    const struct series *s = m->series;
    (void)number;
    for (unsigned i = 0; i < s->total; i++) {
        const struct message *other = s->parts[i];
        if (other == NULL || other->seen == 0 || other->to->link == m->to->link) {
            continue;
        }
        uint64_t began = other->sent < m->sent ? other->sent : m->sent;
        if (m->seen_at + SECOND < s->began + shape.parts_s * SECOND && may_be_judged(m, other, began) &&
            m->to->process->alive && has_room_for_parts(m->to->process)) {
            tell_of(m->number, "ledger", "m%08u, another part of the same message, went to %s", other->number,
                    link_names[other->to->link]);
            violated(RULE_PARTS, m->number, "part %u of %u, m%08u, went to %s, part %u, m%08u, to %s",
                     m->part + 1, s->total, m->number, link_names[m->to->link], other->part + 1,
                     other->number, link_names[other->to->link]);
        }
    }
}

void series_arrived(struct message *m)
{
    if (m->series == NULL) {
        return;
    }
    totals.parts++;
    for (unsigned i = 0; i < m->series->total; i++) {
        const struct message *other = m->series->parts[i];
        if (other != NULL && other->seen > 0 && other->to->link != m->to->link) {
            m->leg_then = m->to->process->alive ? leg_of(m->from, (unsigned)other->to->link) : NULL;
            sim_after(JUDGE_S * SECOND, judge, m, m->number);
            return;
        }
    }
}

static bool may_have_led(const struct message *other, const struct message *m, unsigned platform,
                         uint64_t applied)
{
    if (other->sent >= applied) {
        return false;
    }
    bool went = other->seen > 0 ? link_platform((unsigned)other->to->link) == platform
                                : !other->answered || other->status == ESME_RSUBMITFAIL;
    uint64_t known = other->seen > 0 ? other->seen_at : sim_now;
    return went && m->sent <= known + (shape.parts_s + 1) * SECOND;
}

/* An earlier part was sent before, and went there or may have gone there; and its time is not over. */
bool series_excuses(const struct message *m, unsigned platform, uint64_t applied)
{
    const struct series *s = m->series;
    for (unsigned i = 0; s != NULL && i < s->total; i++) {
        for (const struct message *other = s->parts[i]; other != NULL; other = other->retry_of) {
            if (other != m && may_have_led(other, m, platform, applied)) {
                return true;
            }
        }
    }
    return false;
}
