/* What turnoutctl's exit code means. One table: the codes, the word that --json gives as "result", and the
 * sentence of the reference. */
#ifndef ROUTING_CTL_EXITS_H
#define ROUTING_CTL_EXITS_H

#define CTL_EXITS(X)                                                                                         \
    X(CTL_DONE, 0, "done", "Done. Where there was a change, every live instance has applied it.")            \
    X(CTL_FAILED, 1, "failed", "Something else went wrong; the message says what.")                          \
    X(CTL_USAGE, 2, "usage", "The command line is wrong. Nothing was done.")                                 \
    X(CTL_UNREACHABLE, 3, "unreachable",                                                                     \
      "Redis cannot be reached or refuses the login. Nothing was changed.")                                  \
    X(CTL_CONFLICT, 4, "conflict", "The table is not what the command expected. Nothing was changed.")       \
    X(CTL_INCOMPLETE, 5, "incomplete",                                                                       \
      "Changed, but not every live instance has reported it applied in time.")                               \
    X(CTL_UNCHANGED, 6, "unchanged", "The table says so already; every live instance has applied it.")       \
    X(CTL_NO_INSTANCES, 7, "no_instances", "Changed (or so already), but no instance is alive to apply it.") \
    X(CTL_NOT_FOUND, 8, "not_found", "What the command names does not exist. Nothing was changed.")          \
    X(CTL_INVALID, 9, "invalid",                                                                             \
      "A file or a name cannot be used; every error is listed. Nothing was changed.")                        \
    X(CTL_NOT_CONFIRMED, 10, "not_confirmed",                                                                \
      "The question was not answered with yes. Nothing was changed.")                                        \
    X(CTL_UNKNOWN, 11, "unknown", "Redis went away while it made the change: look whether it is there.")     \
    X(CTL_NOT_REPLICATED, 12, "not_replicated",                                                              \
      "Every live instance has applied it, but not as many replicas of Redis have it as wanted: a failover " \
      "now may lose it.")                                                                                    \
    X(CTL_STOPPED, 13, "stopped",                                                                            \
      "A strict flip stopped half way: the routes are on hold. The message has the commands that go on or "  \
      "back.")                                                                                               \
    X(CTL_WINDOW, 14, "window",                                                                              \
      "A route belongs to no open window, or the window's state does not allow it. Nothing was changed.")    \
    X(CTL_PREFLIGHT, 15, "preflight",                                                                        \
      "Asked first, an instance cannot do it: its link cannot carry the traffic, or its portability table "  \
      "cannot be used. Nothing was changed.")

#define CTL_EXIT_ENUM(id, code, word, text) id = (code),
enum ctl_exit { CTL_EXITS(CTL_EXIT_ENUM) CTL_EXIT_COUNT };
#undef CTL_EXIT_ENUM

const char *ctl_exit_word(enum ctl_exit code);
const char *ctl_exit_text(enum ctl_exit code);

#endif
