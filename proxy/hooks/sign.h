/* What a receiver can check: HMAC-SHA256 (RFC 2104) over the time and the body, in hex. */
#ifndef PROXY_HOOKS_SIGN_H
#define PROXY_HOOKS_SIGN_H

#include <stdbool.h>
#include <stddef.h>

enum { HOOK_HEX_SIZE = 65 };

/* Of "TIMESTAMP.BODY". False where OpenSSL cannot. */
bool hook_sign(const char *secret, const char *timestamp, const char *body, char hex[HOOK_HEX_SIZE]);

/* SHA-256 of a text. False where OpenSSL cannot. */
bool hook_digest(const char *text, char hex[HOOK_HEX_SIZE]);

#endif
