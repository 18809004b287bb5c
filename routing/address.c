/* text ──span of the host, span of the port──▶ struct address */
#include "routing/address.h"

#include <stdio.h>
#include <string.h>

/* 1 to 65535, or 0 where it is none. */
static uint16_t port_parse(const char *text, size_t len)
{
    unsigned port = 0;
    if (len > 5)
        return 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return 0;
        port = port * 10 + (unsigned)(text[i] - '0');
    }
    return port > 65535 ? 0 : (uint16_t)port;
}

/* Where the host begins and ends; the rest after it is to be a port. False: a [ without a ]. */
static bool host_find(const char *text, size_t len, const char **begin, const char **end, const char **rest)
{
    const char *close = len > 0 && *text == '[' ? memchr(text, ']', len) : NULL;
    const char *colon = memrchr(text, ':', len);
    bool bare_v6 = colon != NULL && memchr(text, ':', len) != colon;
    if (len > 0 && *text == '[' && close == NULL)
        return false;
    *begin = close != NULL ? text + 1 : text;
    *end = close != NULL ? close : colon != NULL && !bare_v6 ? colon : text + len;
    *rest = close != NULL ? close + 1 : *end;
    return true;
}

bool address_parse(const char *text, size_t len, uint16_t standard_port, struct address *address,
                   const char **reason)
{
    const char *begin, *end, *rest, *stop = text + len;
    uint16_t port = standard_port;
    if (!host_find(text, len, &begin, &end, &rest)) {
        *reason = "there is a [ without a ]";
        return false;
    }
    size_t host_len = (size_t)(end - begin);
    if (host_len == 0 || host_len > HOST_LEN_MAX) {
        *reason = host_len == 0 ? "there is no host in it" : "the host is too long";
        return false;
    }
    if (rest < stop)
        port = *rest == ':' ? port_parse(rest + 1, (size_t)(stop - rest) - 1) : 0;
    if (port == 0) {
        *reason = "the port is not a number from 1 to 65535";
        return false;
    }
    memcpy(address->host, begin, host_len);
    address->host[host_len] = '\0';
    address->port = port;
    return true;
}

const char *address_text(const struct address *address, char *text)
{
    const char *format = strchr(address->host, ':') != NULL ? "[%s]:%u" : "%s:%u";
    snprintf(text, ADDRESS_TEXT_SIZE, format, address->host, address->port);
    return text;
}
