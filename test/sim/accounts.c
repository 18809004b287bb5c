#include "test/sim/accounts.h"

#include "test/sim/ledger.h"
#include "test/sim/peers.h"

static struct client_file files[INSTANCES_MAX][ACCOUNTS];

void accounts_begin(void)
{
    for (unsigned i = 0; i < INSTANCES_MAX; i++) {
        for (unsigned a = 0; a < ACCOUNTS; a++) {
            files[i][a] = (struct client_file){.window = shape.client_window,
                                               .wait_count = shape.wait_count,
                                               .wait_bytes = shape.limits.wait_bytes,
                                               .binds = shape.limits.binds};
        }
    }
}

const struct client_file *account_file(unsigned instance, unsigned account)
{
    return &files[instance][account];
}

static void tell_change(unsigned instance, unsigned account, const char *what)
{
    char name[8];
    snprintf(name, sizeof name, "i%u", instance);
    tell(name, "has %s %s in its file", account_names[account], what);
}

static void put_back(unsigned instance, unsigned account, uint64_t when)
{
    struct client_file *file = &files[instance][account];
    tell_change(instance, account, "again as it was");
    if (file->absent) {
        file->absent = false;
        file->last_removed = when;
    }
    if (file->other_password) {
        file->other_password = false;
        file->password_changed = when;
    }
}

void accounts_change(unsigned instance, uint64_t when)
{
    unsigned account = (unsigned)sim_random(ACCOUNTS - 1);
    struct client_file *file = &files[instance][account];
    if (file->absent || file->other_password) {
        put_back(instance, account, when);
        return;
    }
    switch (sim_random(4)) {
    case 0:
    case 1:
        tell_change(instance, account, "no more");
        totals.removed++;
        file->absent = true;
        file->removed = when;
        break;
    case 2:
        tell_change(instance, account, "with another password");
        file->other_password = true;
        file->password_changed = when;
        break;
    default:
        tell_change(instance, account, "with other limits");
        file->window = (unsigned)sim_between(1, 40);
        file->wait_count = (unsigned)sim_random(30);
        file->wait_bytes = (unsigned)sim_random(4000);
        file->binds = (unsigned)sim_between(1, 8);
        break;
    }
}

static void write_shortcodes(FILE *out, unsigned account)
{
    bool first = true;
    if (account == ACCOUNTS - 1 && !shape.own) {
        fprintf(out, "\"*\"");
        return;
    }
    for (unsigned s = 0; s < SHORTCODES; s++) {
        if (owner_of_shortcode(s) == account) {
            fprintf(out, "%s\"%s\"", first ? "" : ", ", shortcodes[s]);
            first = false;
        }
    }
}

static void write_client(FILE *out, unsigned account, const struct client_file *file)
{
    static const char *const answers[ACCOUNTS] = {"first", "all", "once", "once"};
    fprintf(out, "client \"%s\" { password-hash = \"%s\" shortcodes = { ", account_names[account],
            file->other_password ? OTHER_HASH : GOOD_HASH);
    write_shortcodes(out, account);
    fprintf(
        out,
        " }\n window = %u mo-window = %u wait-count = %u wait-bytes = %u hold-budget = %ums max-binds = %u\n",
        file->window, shape.mo_window, file->wait_count, file->wait_bytes, HOLD_BUDGET_MS, file->binds);
    fprintf(out,
            " response-timeout = %ums closed-refusal = 0x58 hold-refusal = 0x14 unknown-outcome = 0x45\n"
            " enquire-link = 2s bind-answer = %s nul-in-refusal = %s }\n",
            RESPONSE_TIMEOUT_MS, answers[account], account == 1 ? "true" : "false");
}

void accounts_write(FILE *out, unsigned instance)
{
    for (unsigned i = 0; i < ACCOUNTS; i++) {
        if (!files[instance][i].absent) {
            write_client(out, i, &files[instance][i]);
        }
    }
}
