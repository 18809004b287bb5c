/* hash-password: terminal, twice and unseen, or one line of the standard input ──crypt_r──▶ the hash on
 * stdout. */
#include <crypt.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "routing/ctl/commands.h"
#include "routing/ctl/output.h"

enum { PASSWORD_SIZE = 256, SMPP_PASSWORD_LEN = 8 };

static volatile sig_atomic_t caught;

static void catch_signal(int number)
{
    caught = number;
}

/* One octet; 0 at the end, -1 where a signal came. Signals are let in only while it waits: one that came
 * between the question and the wait would else be met by the next key alone. */
static ssize_t read_octet(char *c, const sigset_t *let_in)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    if (let_in && ppoll(&input, 1, NULL, let_in) < 0) {
        return -1;
    }
    return read(STDIN_FILENO, c, 1);
}

/* A line without its end; the length, or -1 for none, one that is too long, and one with a NUL. */
static ssize_t read_line(char line[PASSWORD_SIZE], const sigset_t *let_in)
{
    size_t len = 0;
    char c = '\0';
    while (len < PASSWORD_SIZE) {
        ssize_t got = read_octet(&c, let_in);
        if (got < 0 || (got == 0 && len == 0) || (got == 1 && c == '\0')) {
            return -1;
        }
        if (got == 0 || c == '\n') {
            len -= len > 0 && line[len - 1] == '\r';
            line[len] = '\0';
            return (ssize_t)len;
        }
        line[len++] = c;
    }
    return -1;
}

/* Asks with the echo off. A signal turns it on again before it has its way. */
static ssize_t ask_unseen(const char *question, char line[PASSWORD_SIZE])
{
    static const int signals[3] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = catch_signal};
    struct sigaction before[3];
    sigset_t held;
    sigset_t let_in;
    struct termios shown;
    if (tcgetattr(STDIN_FILENO, &shown) != 0) {
        return -1;
    }
    struct termios unseen = shown;
    unseen.c_lflag &= (tcflag_t)~ECHO;
    sigemptyset(&held);
    for (int i = 0; i < 3; i++) {
        sigaddset(&held, signals[i]);
        sigaction(signals[i], &action, &before[i]);
    }
    sigprocmask(SIG_BLOCK, &held, &let_in);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &unseen);
    fprintf(stderr, "%s: ", question);
    ssize_t len = read_line(line, &let_in);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown);
    fputc('\n', stderr);
    sigprocmask(SIG_SETMASK, &let_in, NULL);
    for (int i = 0; i < 3; i++) {
        sigaction(signals[i], &before[i], NULL);
    }
    if (caught) {
        raise(caught);
    }
    return len;
}

/* True, and the password; else ctl_fail was called. */
static bool read_password(struct ctl *ctl, char password[PASSWORD_SIZE])
{
    char again[PASSWORD_SIZE];
    bool terminal = isatty(STDIN_FILENO);
    ssize_t len = terminal ? ask_unseen("Password", password) : read_line(password, NULL);
    if (len <= 0) {
        ctl_fail(ctl, CTL_INVALID, NULL, "a password has 1 to %d characters, on one line", PASSWORD_SIZE - 1);
        return false;
    }
    if (!terminal) {
        return true;
    }
    bool same = ask_unseen("Once more", again) == len && strcmp(password, again) == 0;
    explicit_bzero(again, sizeof again);
    if (!same) {
        ctl_fail(ctl, CTL_INVALID, "Try again.", "the two passwords differ");
    }
    return same;
}

static enum ctl_exit print_hash(struct ctl *ctl, const char *password)
{
    struct crypt_data *data = need(calloc(1, sizeof *data));
    char *salt = crypt_gensalt_ra("$y$", 0, NULL, 0);
    const char *hash = salt ? crypt_r(password, salt, data) : NULL;
    enum ctl_exit code = CTL_DONE;
    if (!hash || *hash == '*') {
        code = ctl_fail(ctl, CTL_FAILED, "yescrypt needs libcrypt 4.3 or later.",
                        "the hash cannot be made: %s", strerror(errno));
    } else if (ctl->options.json) {
        ctl_answer(ctl, "hash", json_text(hash));
    } else {
        puts(hash);
    }
    explicit_bzero(data, sizeof *data);
    free(data);
    free(salt);
    return code;
}

enum ctl_exit run_hash_password(struct ctl *ctl)
{
    char password[PASSWORD_SIZE];
    if (!read_password(ctl, password)) {
        return CTL_INVALID;
    }
    if (strlen(password) > SMPP_PASSWORD_LEN) {
        fprintf(stderr,
                "turnoutctl: longer than the %d characters that SMPP has room for; some clients cut it\n",
                SMPP_PASSWORD_LEN);
    }
    enum ctl_exit code = print_hash(ctl, password);
    explicit_bzero(password, sizeof password);
    return code;
}
