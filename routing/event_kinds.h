/* The kinds of events in the stream P:events (functions/35-events.lua), by the names that it has there. */
#ifndef ROUTING_EVENT_KINDS_H
#define ROUTING_EVENT_KINDS_H

/* X(identifier, name, what it tells) */
#define EVENT_KINDS(X)                                                                   \
    X(KIND_WINDOW_OPENED, "window_opened", "a migration window has begun")               \
    X(KIND_CARRIER_MOVED, "carrier_moved", "shortcodes of one carrier were moved")       \
    X(KIND_ROLLED_BACK, "rolled_back", "a change was undone")                            \
    X(KIND_ALARM, "alarm", "a guard rail saw something")                                 \
    X(KIND_WINDOW_PAUSED, "window_paused", "a migration window was paused")              \
    X(KIND_WINDOW_RESUMED, "window_resumed", "a migration window goes on")               \
    X(KIND_WINDOW_FINISHED, "window_finished", "a migration window has come to its end") \
    X(KIND_CONFIRMED, "confirmed", "a change that would have gone back by itself stays") \
    X(KIND_GONE_BACK, "gone_back", "a change went back, since nobody confirmed it")

#define EVENT_KIND_ENUM(id, name, help) id,
enum event_kind { EVENT_KINDS(EVENT_KIND_ENUM) KIND_COUNT };
#undef EVENT_KIND_ENUM

/* All names, as a default of the option table. */
#define EVENT_KINDS_ALL                                                                 \
    "window_opened, carrier_moved, rolled_back, alarm, window_paused, window_resumed, " \
    "window_finished, confirmed, gone_back"

#endif
