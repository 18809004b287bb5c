/* The board: what goes where, what was seen of it since, and what is wrong. One model for status, watch and reports.
 *
 *   turnout_info, turnout_instances, confirmations, cells, turnout_guards, turnout_alarms ──board_read──▶ board
 *   turnout_evidence_read of the shortcodes that are shown ──board_read_evidence──▶ board
 *   board_evidence(cell), board_alarms(cell), board_guard(cell) ──▶ lines on the screen, members in JSON
 */
#ifndef ROUTING_CTL_BOARD_H
#define ROUTING_CTL_BOARD_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "routing/change.h"
#include "routing/ctl/cells.h"
#include "routing/ctl/instance_list.h"
#include "routing/ctl/pending.h"
#include "routing/ctl/redis.h"
#include "routing/evidence.h"
#include "routing/rail.h"

struct board_guard {
    struct rail rail;
    enum rail_verdict verdict; /* of a guard that watches: by the evidence read; else how it ended */
    char what[256];            /* the sentence of it */
};

struct board {
    uint64_t now_ms; /* Redis' clock */
    uint64_t version, shortcodes;
    char chain[CHAIN_LEN + 1]; /* the history's fingerprint */
    struct instance_list instances;
    struct pending pending;
    struct cells cells;
    struct evidence_set evidence;
    size_t guards_count;
    struct board_guard *guards; /* those that watch first, then those that ended, the newest first */
    json_t *alarms;             /* as turnout_alarms has them, the newest first */
};

/* All but the evidence. False where a call to Redis failed; to be freed in either case. */
bool board_read(struct redis *redis, struct board *board);

/* The same, later: the table is read again only where its version is another. False: the board is as it was. */
bool board_read_again(struct redis *redis, struct board *board);

/* The guards and the alarms alone, into an empty board. */
bool board_read_guards(struct redis *redis, struct board *board);

/* Of some shortcodes, or of all (count 0); and the verdicts of the guards by it. */
bool board_read_evidence(struct redis *redis, struct board *board, const char *const *shortcodes,
                         size_t count);
void board_free(struct board *board);

/* What was seen since the cell's last move; NULL for nothing. */
const struct evidence *board_evidence(const struct board *board, const struct cell *cell);

/* Alarms that name the cell, and that nobody has acknowledged; and all of these. */
unsigned board_alarms(const struct board *board, const struct cell *cell);
unsigned board_alarms_open(const struct board *board);

/* The guard that watches the cell; NULL for none. */
const struct board_guard *board_guard(const struct board *board, const struct cell *cell);

enum { BOARD_EVIDENCE_SIZE = 160 };

/* In short: "120 ok, 2 err, 3 MO, 100 rcpt, WRONG PATH by redx, not moved yet: 1 MO, 1 TWICE"; "nothing seen yet".
 * evidence is the cell's, or NULL; text returned. */
const char *board_evidence_text(const struct cell *cell, const struct evidence *evidence,
                                char text[BOARD_EVIDENCE_SIZE]);

/* The seen as whole lines, for the details of a cell. */
void board_evidence_lines(const struct cell *cell, const struct evidence *evidence, uint64_t now_ms,
                          void (*line)(void *ctx, const char *text), void *ctx);

/* Has it moved within a day, is it about to, is it not open, has it an alarm or a guard? */
bool board_is_lively(const struct board *board, const struct cell *cell);

json_t *board_guards_json(const struct board *board);

#endif
