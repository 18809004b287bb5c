/* The main thread: config, table, admin, signals; it starts the workers and tells them what changes.
 *
 *   Redis ─▶ store ─▶ table ─▶ every thread ─▶ all have passed it: the old one is freed
 *                                           ─▶ all have applied it: store_applied, "applied N" in Redis
 *   SIGHUP ─▶ config ─▶ bundle ─▶ every thread ─▶ all have passed it: the old one is freed
 *   SIGTERM, SIGINT ─▶ drain; a second one: at once */
#ifndef PROXY_TURNOUTD_H
#define PROXY_TURNOUTD_H

/* Runs until it is told to end. Returns the exit status: 0 after an orderly end, 1 where it could not start
 * (why is on standard error, and in the log where there is one). */
int turnoutd_run(const char *config_file);

/* The same for a process that does nothing else: it gives up what it does not need (sandbox.h), for good. */
int turnoutd_run_confined(const char *config_file);

#endif
