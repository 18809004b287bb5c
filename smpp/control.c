/* Our own strings ──▶ lengths checked ──▶ libsmpp34's structs ──▶ smpp34_pack under the lock ──▶ a buffer of
 * our own that no control PDU can fill ──▶ out. What the library cannot express (longer strings, an
 * interface_version other than 0x34) goes to smpp_encode_bind.
 *
 * libsmpp34/smpp34.h is left out: its macros bear the names of our enums. */
#include "smpp/control.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <libsmpp34/smpp34_structs.h>

#include "smpp/constants.h"

/* The longest is a bind of 16 + 16 + 9 + 13 + 3 + 41 octets. */
enum { CONTROL_MAX = 256 };

/* The library's error text and errno are global. */
static pthread_mutex_t library_lock = PTHREAD_MUTEX_INITIALIZER;

static size_t pack(uint8_t *out, size_t cap, uint32_t command_id, void *pdu)
{
    uint8_t packed[CONTROL_MAX];
    int length = 0;
    pthread_mutex_lock(&library_lock);
    int failed = smpp34_pack(command_id, packed, (int)sizeof packed, &length, pdu);
    pthread_mutex_unlock(&library_lock);
    if (failed != 0 || length < SMPP_HEADER_LEN || (size_t)length > cap)
        return 0;
    memcpy(out, packed, (size_t)length);
    return (size_t)length;
}

/* Copies text, NULL for "", with its NUL; false where it is longer than the struct's array. */
static bool copy_string(uint8_t *field, size_t size, const char *text)
{
    const char *string = text != NULL ? text : "";
    size_t len = strlen(string);
    if (len >= size)
        return false;
    memcpy(field, string, len + 1);
    return true;
}

/* The three binds have the same fields in the same order, so one struct of the library serves them all. */
static bool fill_bind(bind_transceiver_t *bind, const struct smpp_bind_fields *f)
{
    bind->command_id = f->command_id;
    bind->sequence_number = f->sequence_number;
    bind->interface_version = f->interface_version;
    bind->addr_ton = f->addr_ton;
    bind->addr_npi = f->addr_npi;
    return copy_string(bind->system_id, sizeof bind->system_id, f->system_id) &&
           copy_string(bind->password, sizeof bind->password, f->password) &&
           copy_string(bind->system_type, sizeof bind->system_type, f->system_type) &&
           copy_string(bind->address_range, sizeof bind->address_range, f->address_range);
}

size_t smpp_control_bind(uint8_t *out, size_t cap, const struct smpp_bind_fields *fields)
{
    bind_transceiver_t bind = {0};
    if (!smpp_is_bind(fields->command_id))
        return 0;
    size_t length = fill_bind(&bind, fields) ? pack(out, cap, fields->command_id, &bind) : 0;
    return length > 0 ? length : smpp_encode_bind(out, cap, fields);
}

size_t smpp_control_unbind(uint8_t *out, size_t cap, uint32_t sequence_number)
{
    unbind_t unbind = {.command_id = SMPP_UNBIND, .sequence_number = sequence_number};
    return pack(out, cap, SMPP_UNBIND, &unbind);
}

size_t smpp_control_enquire_link(uint8_t *out, size_t cap, uint32_t sequence_number)
{
    enquire_link_t enquire_link = {.command_id = SMPP_ENQUIRE_LINK, .sequence_number = sequence_number};
    return pack(out, cap, SMPP_ENQUIRE_LINK, &enquire_link);
}
