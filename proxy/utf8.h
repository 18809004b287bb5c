/* UTF-8 that comes from somebody else: where a character ends, and whether it may be shown. */
#ifndef PROXY_UTF8_H
#define PROXY_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Octets of the UTF-8 character at data, or 0 where there is none: overlong forms, surrogates, numbers above
 * U+10FFFF and cut sequences are none (RFC 3629, section 4). len is at least 1. */
size_t utf8_length(const uint8_t *data, size_t len);

/* Is the character (len octets) a control character, C0, DEL or C1? */
bool utf8_is_control(const uint8_t *data, size_t len);

#endif
