/* "host:port" as operators write it. Pure. */
#ifndef ROUTING_ADDRESS_H
#define ROUTING_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HOST_LEN_MAX = 255 };

struct address {
    char host[HOST_LEN_MAX + 1]; /* a name, or IPv4 or IPv6 without brackets */
    uint16_t port;
};

/* len octets of text: "host", "host:port", "[::1]", "[::1]:port" and "::1", which only brackets can give a
 * port. False with a sentence in reason (static text). */
bool address_parse(const char *text, size_t len, uint16_t standard_port, struct address *address,
                   const char **reason);

enum { ADDRESS_TEXT_SIZE = HOST_LEN_MAX + 16 };

/* As address_parse takes it; text has room for ADDRESS_TEXT_SIZE. Returns text. */
const char *address_text(const struct address *address, char *text);

#endif
