/* window report: what happened in a window, as a document.
 *
 *   window_facts ──▶ JSON
 *               └──▶ tables ──document──▶ Markdown or HTML ──▶ --output, or the standard output */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "routing/ctl/commands.h"
#include "routing/ctl/document.h"
#include "routing/ctl/file.h"
#include "routing/ctl/output.h"
#include "routing/ctl/window_facts.h"

enum format { FORMAT_MARKDOWN, FORMAT_HTML, FORMAT_JSON, FORMAT_COUNT };
static const char *const formats[FORMAT_COUNT] = {"markdown", "html", "json"};

struct report {
    const struct window *window;
    const json_t *facts;
    enum format format;
    struct document document;
};

/* --- values ------------------------------------------------------------------------------------------------
 */

static long long number(const json_t *object, const char *name)
{
    return (long long)json_integer_value(json_object_get(object, name));
}

/* A cell with a time in the window's zone, or "-". */
static void time_cell(struct report *report, const json_t *object, const char *name)
{
    char text[TIME_TEXT_SIZE];
    document_cell(&report->document, "%s",
                  zone_text(&report->window->zone, (uint64_t)number(object, name), text));
}

static void number_cell(struct report *report, const json_t *object, const char *name)
{
    document_cell(&report->document, "%lld", number(object, name));
}

static void version_cell(struct report *report, const json_t *object, const char *name)
{
    if (number(object, name) > 0) {
        number_cell(report, object, name);
    } else {
        document_cell(&report->document, "-");
    }
}

static void text_cell(struct report *report, const json_t *object, const char *name)
{
    const char *text = json_member(object, name);
    document_cell(&report->document, "%s", *text ? text : "-");
}

/* "12.3 s", "250 ms". */
static const char *span_text(long long ms, char text[AGE_TEXT_SIZE])
{
    if (ms < 10000) {
        snprintf(text, AGE_TEXT_SIZE, "%lld ms", ms);
    } else {
        snprintf(text, AGE_TEXT_SIZE, "%.1f s", (double)ms / 1000);
    }
    return text;
}

static bool is_true(const json_t *object, const char *name)
{
    return json_is_true(json_object_get(object, name));
}

static void start_table(struct report *report, const char *heading, const char *const *titles, size_t count)
{
    document_heading(&report->document, heading);
    document_table(&report->document, titles, count);
}

#define START_TABLE(report, heading, ...)                            \
    start_table(report, heading, (const char *const[]){__VA_ARGS__}, \
                sizeof(const char *const[]){__VA_ARGS__} / sizeof(const char *))

/* --- the sections ------------------------------------------------------------------------------------------
 */

static void put_head(struct report *report)
{
    char start[TIME_TEXT_SIZE];
    char end[TIME_TEXT_SIZE];
    char now[TIME_TEXT_SIZE];
    struct document *document = &report->document;
    const struct window *window = report->window;
    const struct zone *zone = &window->zone;
    document_paragraph(document, "State: %s. Planned from %s to %s (%s), by %s%s%s.",
                       window_field(window, "state"), zone_text(zone, window_number(window, "start"), start),
                       zone_text(zone, window_number(window, "end"), end),
                       *zone->name ? zone->name : "local time", window_field(window, "who"),
                       *window_field(window, "ticket") ? ", ticket " : "", window_field(window, "ticket"));
    if (*window_field(window, "why")) {
        document_paragraph(document, "%s", window_field(window, "why"));
    }
    if (window_number(window, "open_at") > 0) {
        document_paragraph(document, "Opened %s.", zone_text(zone, window_number(window, "open_at"), start));
    }
    document_paragraph(document, "This report is of %s, version %lld of the routing table.",
                       zone_text(zone, window->now_ms, now), number(report->facts, "table_version"));
}

static void put_went_back(struct document *document, const json_t *back)
{
    if (number(back, "routes") == 0) {
        return;
    }
    document_paragraph(
        document,
        "Of %lld route%s that went back the new platforms carried before, not among these: %lld "
        "messages accepted, %lld refused, %lld of unknown outcome, %lld from handsets.",
        number(back, "routes"), plural((uint64_t)number(back, "routes")), number(back, "mt_accepted"),
        number(back, "mt_refused"), number(back, "mt_unknown"), number(back, "mo"));
    if (number(back, "uncounted") > 0) {
        document_paragraph(document,
                           "Of %lld of them there is no count: no instance has seen anything of them since.",
                           number(back, "uncounted"));
    }
}

/* What the proxy accepts it has not: the carrier has. So nothing that was accepted can be lost by it, and what may
 * be missing is among the unknown outcomes. */
static void put_lost(struct document *document, const json_t *summary)
{
    size_t i;
    json_t *total;
    long long unknown = 0;
    long long partly = number(summary, "partly_counted");
    json_array_foreach(json_object_get(summary, "totals"), i, total)
    {
        unknown += number(total, "mt_unknown");
    }
    document_paragraph(
        document,
        "Lost by Turnout: 0 of the messages that a client was told are accepted (it says so only when "
        "the carrier has said so, and keeps none; what it cannot pass on it refuses). Unknown outcomes "
        "since the routes first moved: %s%lld; settle these by the ledgers of both ends: the connection "
        "ended, or stayed silent, before the carrier answered; the client was told an error, and the "
        "handset may have got the message. What a carrier loses after it has accepted a message is not "
        "seen here, nor what an instance that was killed had counted in its last second.",
        partly > 0 ? "at least " : "", unknown);
}

static void put_wrong_of(struct document *document, const char *carrier, long long mo, long long receipts,
                         const char *came, const char *named)
{
    if (mo + receipts > 0) {
        document_paragraph(document,
                           "Wrong path, the carrier had %s: %lld messages from handsets and %lld receipts "
                           "came by %s while the routes named %s.",
                           carrier, mo, receipts, came, named);
    }
}

static void put_wrong(struct document *document, const json_t *wrong)
{
    put_wrong_of(document, "not moved yet", number(wrong, "stayed_mo"), number(wrong, "stayed_receipts"),
                 "another platform", "the new one");
    put_wrong_of(document, "moved early (or had not gone back)", number(wrong, "early_mo"),
                 number(wrong, "early_receipts"), "the new platform", "another");
}

static void put_summary(struct report *report)
{
    char longest[AGE_TEXT_SIZE];
    const json_t *summary = json_object_get(report->facts, "summary");
    const json_t *messages = json_object_get(summary, "messages");
    struct document *document = &report->document;
    document_heading(document, "In short");
    document_paragraph(document,
                       "%lld of %lld routes have moved; %lld were there before, %lld have not moved, %lld "
                       "are not open, %lld are "
                       "elsewhere or have no row.",
                       number(summary, "moved"), number(summary, "routes"), number(summary, "there_before"),
                       number(summary, "waiting"), number(summary, "not_open"),
                       number(summary, "elsewhere") + number(summary, "no_row"));
    document_paragraph(document,
                       "%lld change%s, of them %lld rollback%s; %lld alarm%s. Longest hold of a route: %s.",
                       number(summary, "changes"), plural((uint64_t)number(summary, "changes")),
                       number(summary, "rollbacks"), plural((uint64_t)number(summary, "rollbacks")),
                       number(summary, "alarms"), plural((uint64_t)number(summary, "alarms")),
                       span_text(number(summary, "longest_hold_ms"), longest));
    document_paragraph(document,
                       "Since the moves, on the new platforms: %lld messages accepted by the carriers, %lld "
                       "refused by them, %lld "
                       "refused to clients by Turnout, %lld of unknown outcome.",
                       number(messages, "mt_accepted"), number(messages, "mt_refused"),
                       number(messages, "held_expired") + number(messages, "held_full") +
                           number(messages, "closed") + number(messages, "refused_else"),
                       number(messages, "mt_unknown"));
    put_went_back(document, json_object_get(summary, "went_back"));
    put_lost(document, summary);
    put_wrong(document, json_object_get(summary, "wrong_path"));
}

static void put_carriers(struct report *report)
{
    size_t i;
    json_t *carrier;
    START_TABLE(report, "Carrier by carrier", "Carrier", "To", "Routes", "Moved", "There before", "Not moved",
                "Not open", "First moved", "Last moved", "Longest hold");
    json_array_foreach(json_object_get(report->facts, "carriers"), i, carrier)
    {
        char span[AGE_TEXT_SIZE];
        const json_t *to = json_object_get(carrier, "to");
        text_cell(report, carrier, "carrier");
        document_cell(&report->document, "%s%s", json_string_value(json_array_get(to, 0)),
                      json_array_size(to) > 1 ? " and others" : "");
        number_cell(report, carrier, "routes");
        number_cell(report, carrier, "moved");
        number_cell(report, carrier, "there_before");
        number_cell(report, carrier, "waiting");
        number_cell(report, carrier, "not_open");
        time_cell(report, carrier, "first_moved_ms");
        time_cell(report, carrier, "last_moved_ms");
        document_cell(&report->document, "%s", span_text(number(carrier, "longest_hold_ms"), span));
    }
    document_table_end(&report->document);
}

/* What the carriers' networks and the proxies did with messages since the moves. */
static void put_messages(struct report *report)
{
    static const char *const names[] = {"mt_sent", "mt_accepted",  "mt_refused",       "mt_unknown",
                                        "waited",  "released",     "held_expired",     "held_full",
                                        "closed",  "refused_else", "receipts_awaited", "receipts",
                                        "mo",      "wrong_mo",     "legs_lost"};
    size_t i;
    json_t *carrier;
    START_TABLE(report, "Messages since the moves, on the new platforms", "Carrier", "Sent", "Accepted",
                "Refused by carrier", "Outcome unknown", "Held", "Of them released", "Refused: hold ended",
                "Refused: too many held", "Refused: closed", "Refused: else", "Receipts wanted", "Receipts",
                "From handsets", "From handsets, before the route named it", "Connections lost");
    json_array_foreach(json_object_get(report->facts, "carriers"), i, carrier)
    {
        text_cell(report, carrier, "carrier");
        for (size_t j = 0; j < sizeof names / sizeof *names; j++) {
            number_cell(report, json_object_get(carrier, "messages"), names[j]);
        }
    }
    document_table_end(&report->document);
}

/* What is to be held against the ledgers: every turn of a route counts. */
static void put_totals(struct report *report)
{
    static const char *const names[] = {"mt_sent", "mt_accepted", "mt_refused", "mt_unknown",
                                        "refused", "mo",          "receipts"};
    size_t i, j;
    json_t *carrier, *total;
    long long partly = number(json_object_get(report->facts, "summary"), "partly_counted");
    START_TABLE(report, "Messages by platform, since each route first moved", "Carrier", "Platform", "Sent",
                "Accepted", "Refused by carrier", "Outcome unknown", "Refused by Turnout", "From handsets",
                "Receipts");
    json_array_foreach(json_object_get(report->facts, "carriers"), i, carrier)
    {
        json_array_foreach(json_object_get(carrier, "totals"), j, total)
        {
            text_cell(report, carrier, "carrier");
            text_cell(report, total, "platform");
            for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
                number_cell(report, total, names[k]);
            }
        }
    }
    document_table_end(&report->document);
    if (partly > 0) {
        document_paragraph(
            &report->document,
            "%lld route%s moved so often that a part of the count is mixed with that of the time before: "
            "that part is not among these.",
            partly, plural((uint64_t)partly));
    }
}

static void put_back_table(struct report *report)
{
    static const char *const names[] = {"routes",  "mt_accepted", "mt_refused", "mt_unknown",
                                        "refused", "mo",          "receipts",   "uncounted"};
    size_t i;
    json_t *carrier;
    if (number(json_object_get(json_object_get(report->facts, "summary"), "went_back"), "routes") == 0) {
        return;
    }
    START_TABLE(report, "Messages on the new platforms of routes that went back, until then", "Carrier",
                "Routes", "Accepted", "Refused by carrier", "Outcome unknown", "Refused by Turnout",
                "From handsets", "Receipts", "Routes without a count");
    json_array_foreach(json_object_get(report->facts, "carriers"), i, carrier)
    {
        text_cell(report, carrier, "carrier");
        for (size_t j = 0; j < sizeof names / sizeof *names; j++) {
            number_cell(report, json_object_get(carrier, "went_back"), names[j]);
        }
    }
    document_table_end(&report->document);
}

/* "flip", "rollback of version 7", "flip, outside of the window" ... */
static void kind_cell(struct report *report, const json_t *change)
{
    char of[40] = "";
    const char *kind = json_member(change, "kind");
    if (number(change, "undoes") > 0) {
        snprintf(of, sizeof of, " of version %lld", number(change, "undoes"));
    }
    document_cell(&report->document, "%s%s%s%s",
                  strcmp(kind, "window") == 0 ? "start or end of the window" : kind, of,
                  is_true(change, "undoes_window") ? " of the window" : "",
                  is_true(change, "outside") ? ", outside of any window" : "");
}

/* "3 instances, the last after 12 ms"; and who had not applied it in time. */
static void applied_cell(struct report *report, const json_t *change)
{
    char missing[200] = "";
    size_t used = 0;
    size_t i;
    json_t *instance;
    json_array_foreach(json_object_get(json_object_get(change, "barrier"), "missing"), i, instance)
    {
        if (used < sizeof missing) {
            used += (size_t)snprintf(missing + used, sizeof missing - used, "%s%s",
                                     used ? ", " : "; not in time: ", json_member(instance, "id"));
        }
    }
    size_t count = json_object_size(json_object_get(change, "applied"));
    if (count == 0) {
        document_cell(&report->document, "not known%s", missing);
    } else {
        document_cell(&report->document, "%zu instance%s, the last after %lld ms%s", count, plural(count),
                      number(change, "slowest_ms"), missing);
    }
}

static void outcome_cell(struct report *report, const json_t *change)
{
    char when[TIME_TEXT_SIZE];
    const json_t *outcome = json_object_get(change, "outcome");
    uint64_t deadline = (uint64_t)number(change, "confirm_by_ms");
    if (deadline == 0) {
        document_cell(&report->document, "-");
    } else if (json_is_object(outcome)) {
        document_cell(&report->document, "%s, %s, by %s", json_member(outcome, "outcome"),
                      zone_text(&report->window->zone, (uint64_t)number(outcome, "at_ms"), when),
                      json_member(outcome, "who"));
    } else {
        document_cell(&report->document, "awaited by %s", zone_text(&report->window->zone, deadline, when));
    }
}

static void put_changes(struct report *report)
{
    size_t i;
    json_t *change;
    START_TABLE(report, "Changes", "Version", "Time", "What", "Routes", "By", "Why", "Ticket", "Applied by",
                "Confirmation");
    json_array_foreach(json_object_get(report->facts, "changes"), i, change)
    {
        number_cell(report, change, "version");
        time_cell(report, change, "at_ms");
        kind_cell(report, change);
        document_cell(&report->document, "%zu", json_array_size(json_object_get(change, "moves")));
        text_cell(report, change, "who");
        text_cell(report, change, "why");
        text_cell(report, change, "ticket");
        applied_cell(report, change);
        outcome_cell(report, change);
    }
    document_table_end(&report->document);
}

static void put_holds(struct report *report)
{
    size_t i;
    json_t *hold;
    const json_t *holds = json_object_get(report->facts, "holds");
    if (json_array_size(holds) == 0) {
        return;
    }
    START_TABLE(report, "Holds", "Routes", "From", "To", "For", "By version", "Ended by version");
    json_array_foreach(holds, i, hold)
    {
        char span[AGE_TEXT_SIZE];
        number_cell(report, hold, "routes");
        time_cell(report, hold, "from_ms");
        time_cell(report, hold, "to_ms");
        document_cell(&report->document, "%s", span_text(number(hold, "ms"), span));
        number_cell(report, hold, "from_version");
        number_cell(report, hold, "to_version");
    }
    document_table_end(&report->document);
}

/* The events, and the log of the window for what is no event. */
static void put_course(struct report *report)
{
    size_t i;
    json_t *event;
    START_TABLE(report, "Course", "Time", "What", "By", "Why", "Version");
    json_array_foreach(json_object_get(report->facts, "events"), i, event)
    {
        time_cell(report, event, "at_ms");
        document_cell(
            &report->document, "%s%s%s", strcmp(json_member(event, "kind"), "alarm") == 0 ? "ALARM: " : "",
            json_member(event, "text"), is_true(event, "in_window") ? "" : " (outside of the window)");
        text_cell(report, event, "who");
        text_cell(report, event, "why");
        if (number(event, "version") > 0) {
            number_cell(report, event, "version");
        } else {
            document_cell(&report->document, "-");
        }
    }
    document_table_end(&report->document);
}

static void put_alarms(struct report *report)
{
    size_t i;
    json_t *alarm;
    const json_t *alarms = json_object_get(report->facts, "alarms");
    if (json_array_size(alarms) == 0) {
        return;
    }
    START_TABLE(report, "Alarms of guards", "Time", "Version", "What", "Action", "Outcome",
                "Acknowledged by");
    json_array_foreach(alarms, i, alarm)
    {
        const char *by = json_member(json_object_get(alarm, "acknowledged"), "who");
        time_cell(report, alarm, "at_ms");
        number_cell(report, alarm, "version");
        text_cell(report, alarm, "what");
        text_cell(report, alarm, "action");
        text_cell(report, alarm, "outcome");
        document_cell(&report->document, "%s", *by ? by : "-");
    }
    document_table_end(&report->document);
}

static void put_routes(struct report *report)
{
    size_t i;
    json_t *route;
    START_TABLE(report, "Routes", "Shortcode", "Carrier", "Before", "To", "Now", "State", "Progress", "Moved",
                "Version", "Held", "First accepted", "First receipt", "First from a handset", "Refused",
                "Unknown");
    json_array_foreach(json_object_get(report->facts, "routes"), i, route)
    {
        char span[AGE_TEXT_SIZE];
        const json_t *side = json_object_get(json_object_get(route, "evidence"), "now");
        static const char *const texts[] = {"shortcode", "carrier", "before",  "to",
                                            "platform",  "state",   "progress"};
        for (size_t j = 0; j < sizeof texts / sizeof *texts; j++) {
            text_cell(report, route, texts[j]);
        }
        time_cell(report, route, "moved_ms");
        version_cell(report, route, "moved_version");
        document_cell(&report->document, "%s", span_text(number(route, "held_ms"), span));
        /* What is not of the move to where it is now says nothing of it. */
        side = strcmp(json_member(side, "platform"), json_member(route, "to")) == 0 ? side : NULL;
        time_cell(report, side, "mt_first_ms");
        time_cell(report, side, "receipt_first_ms");
        time_cell(report, side, "mo_first_ms");
        number_cell(report, side, "mt_refused");
        number_cell(report, side, "mt_unknown");
    }
    document_table_end(&report->document);
}

/* --- writing -----------------------------------------------------------------------------------------------
 */

static bool write_report(FILE *out, const void *what)
{
    struct report report = *(const struct report *)what;
    char title[NAME_LEN_MAX + 32];
    if (report.format == FORMAT_JSON) {
        return json_dumpf(report.facts, out, JSON_INDENT(2)) == 0 && fputc('\n', out) != EOF;
    }
    snprintf(title, sizeof title, "Migration window %s", report.window->name);
    document_start(&report.document, out, report.format == FORMAT_HTML, title);
    put_head(&report);
    put_summary(&report);
    put_carriers(&report);
    put_messages(&report);
    put_totals(&report);
    put_back_table(&report);
    put_course(&report);
    put_changes(&report);
    put_holds(&report);
    put_alarms(&report);
    put_routes(&report);
    document_end(&report.document);
    return !ferror(out);
}

static enum ctl_exit write_out(struct ctl *ctl, const struct report *report)
{
    const char *path = ctl->options.output;
    if (path && !file_write(path, write_report, report)) {
        return ctl_fail(ctl, CTL_FAILED, NULL, "%s cannot be written: %s", path, strerror(errno));
    }
    if (path) {
        ctl_answer(ctl, "file", json_text(path));
        if (!ctl->options.json) {
            printf("The report of window %s is in %s.\n", report->window->name, path);
        }
    } else if (ctl->options.json) {
        ctl_answer(ctl, "report", need(json_deep_copy(report->facts)));
    } else if (!write_report(stdout, report)) {
        return ctl_fail(ctl, CTL_FAILED, NULL, "the report cannot be written: %s", strerror(errno));
    }
    return CTL_DONE;
}

static bool format_parse(const char *text, enum format *format)
{
    for (*format = 0; *format < FORMAT_COUNT; ++*format) {
        if (strcmp(text, formats[*format]) == 0) {
            return true;
        }
    }
    return false;
}

enum ctl_exit run_window_report(struct ctl *ctl)
{
    struct window window = {0};
    struct report report = {.window = &window};
    enum ctl_exit code = CTL_USAGE;
    if (!format_parse(ctl->options.format, &report.format)) {
        return ctl_fail(ctl, CTL_USAGE, NULL, "--format %s: it is one of markdown, html and json",
                        ctl->options.format);
    }
    code = window_name_fine(ctl) ? window_read(ctl, ctl->args[0], &window) : CTL_USAGE;
    json_t *facts = code == CTL_DONE ? window_facts(ctl, &window) : NULL;
    if (facts) {
        report.facts = facts;
        code = write_out(ctl, &report);
    } else if (code == CTL_DONE) {
        code = ctl_redis_failed(ctl);
    }
    json_decref(facts);
    window_free(&window);
    return code;
}
