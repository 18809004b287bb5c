/* Delivery receipts: is a deliver_sm one, and about which message? (SMPP 3.4, 5.2.12 and appendix B.)
 *
 * The id is in the TLV receipted_message_id (0x001E) or in the text ("id:..."); either may be missing. It is
 * given as found, never normalised: hex or decimal, padded, in either case. */
#ifndef SMPP_RECEIPT_H
#define SMPP_RECEIPT_H

#include "smpp/view.h"

/* esm_class says that it is an SMSC delivery receipt (0x04), a delivery acknowledgement (0x08), a user
 * acknowledgement (0x10) or an intermediate notification (0x20), combinations included. */
bool smpp_is_receipt(uint8_t esm_class);

/* The id of the message that a receipt is about: the TLV first, else the text. False where neither has it. */
bool smpp_receipt_id(const struct smpp_message_view *view, struct smpp_span *message_id);

/* The value of a text field ("stat", "err", "dlvrd" ...), up to the next blank. Names compare without case.
 */
bool smpp_receipt_field(struct smpp_span text, const char *name, struct smpp_span *value);

#endif
