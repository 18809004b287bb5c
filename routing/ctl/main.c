/* turnoutctl, the operator's command.
 *
 *   argv ──arguments_parse──▶ struct ctl ──command->run──▶ exit code; with --json the answer, on one line
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "routing/ctl/arguments.h"
#include "routing/ctl/commands.h"
#include "routing/ctl/output.h"
#include "routing/ctl/redis.h"

static void print_answer(struct ctl *ctl, enum ctl_exit code)
{
    /* Six digits: enough for milliseconds with their microseconds, and 4.1 is not 4.0999999999999996. */
    size_t flags = (isatty(STDOUT_FILENO) ? JSON_INDENT(2) : JSON_COMPACT) | JSON_REAL_PRECISION(6);
    if (ctl->command) {
        ctl_answer(ctl, "command", json_text(ctl->command->words));
    }
    ctl_answer(ctl, "result", json_text(ctl_exit_word(code)));
    ctl_answer(ctl, "exit", json_integer(code));
    json_dumpf(ctl->answer, stdout, flags);
    fputc('\n', stdout);
}

int main(int argc, char **argv)
{
    /* A Redis that goes away must be an error to report, and not the end of the program. */
    signal(SIGPIPE, SIG_IGN);
    struct ctl ctl = {.started_us = ctl_now_us(), .answer = need(json_object())};
    enum ctl_exit code = arguments_parse(&ctl, argc, argv);
    if (code == CTL_DONE) {
        code = ctl.command->run(&ctl);
    }
    if (ctl.options.json) {
        print_answer(&ctl, code);
    }
    if (fflush(stdout) != 0 || ferror(stdout)) {
        if (errno != EPIPE) { /* head and the like have seen enough */
            perror("turnoutctl: the answer cannot be written");
        }
        code = code == CTL_DONE ? CTL_FAILED : code;
    }
    json_decref(ctl.answer);
    redis_close(ctl.redis);
    free(ctl.args);
    return (int)code;
}
