/* Delivery receipts: is a deliver_sm one, and about which message? (SMPP 3.4, 5.2.12 and appendix B.)
 *
 * The id is in the TLV receipted_message_id (0x001E) or in the text ("id:..."); either may be missing. It is
 * given as found, never normalised: hex or decimal, padded, in either case. */
#ifndef SMPP_RECEIPT_H
#define SMPP_RECEIPT_H

#include "smpp/constants.h"
#include "smpp/view.h"

/* esm_class says that it is an SMSC delivery receipt (0x04), a delivery acknowledgement (0x08), a user
 * acknowledgement (0x10) or an intermediate notification (0x20), combinations included. */
bool smpp_is_receipt(uint8_t esm_class);

/* Does a submit_sm or data_sm ask for a receipt of success (5.2.17)? dest as smpp_view_addresses has given it for this
 * PDU. One quick look where there are no schedule and no validity period; false where it cannot be read. */
bool smpp_wants_receipt_after_periods(const uint8_t *pdu, size_t len);
static inline bool smpp_wants_receipt(const uint8_t *pdu, size_t len, uint32_t command_id,
                                      const struct smpp_address *dest)
{
    enum { DATA_AT = 1, SCHEDULE_AT = 3, VALIDITY_AT = 4, SUBMIT_AT = 5, SUCCESS = 1 };
    const uint8_t *esm_class = dest->digits.p + dest->digits.len + 1;
    size_t left = (size_t)(pdu + len - esm_class);
    if (command_id == SMPP_DATA_SM) {
        return left > DATA_AT && (esm_class[DATA_AT] & SUCCESS) != 0;
    }
    if (left <= SUBMIT_AT || (esm_class[SCHEDULE_AT] | esm_class[VALIDITY_AT]) != 0) {
        return smpp_wants_receipt_after_periods(pdu, len);
    }
    return (esm_class[SUBMIT_AT] & SUCCESS) != 0;
}

/* The id of the message that a receipt is about: the TLV first, else the text. False where neither has it. */
bool smpp_receipt_id(const struct smpp_message_view *view, struct smpp_span *message_id);

/* The value of a text field ("stat", "err", "dlvrd" ...), up to the next blank. Names compare without case.
 */
bool smpp_receipt_field(struct smpp_span text, const char *name, struct smpp_span *value);

#endif
