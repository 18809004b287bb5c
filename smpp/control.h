/* The fixed PDUs that the proxy itself originates towards an SMSC, encoded by libsmpp34.
 *
 *   our own strings, of checked length ──▶ libsmpp34 ──▶ octets
 *
 * The only file that includes libsmpp34. It never sees octets from a peer and never a TLV. The library keeps
 * global state, so calls are serialised by a lock inside; they happen once a bind, not once a message. A bind
 * whose strings are longer than the library's structs (system_id over 15, password over 8: they occur) is
 * encoded by smpp_encode_bind instead, and so is what the library refuses (an interface_version other than
 * 0x34). */
#ifndef SMPP_CONTROL_H
#define SMPP_CONTROL_H

#include "smpp/encode.h"

/* Each returns the length written to out[cap], 0 where it does not fit or the library refuses. */
size_t smpp_control_bind(uint8_t *out, size_t cap, const struct smpp_bind_fields *fields);
size_t smpp_control_unbind(uint8_t *out, size_t cap, uint32_t sequence_number);
size_t smpp_control_enquire_link(uint8_t *out, size_t cap, uint32_t sequence_number);

#endif
