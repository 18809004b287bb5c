/* bytes ──▶ the length (4 octets) judged ──▶ the header (16 octets) read ──▶ the PDU whole or not. */
#include "smpp/frame.h"

/* The fields that are there, 0 for those that are not: enough for a refusal to name what it refuses. */
static void read_torn_header(const uint8_t *data, size_t len, struct smpp_header *header)
{
    header->length = smpp_get32(data);
    header->command_id = len >= 8 ? smpp_get32(data + 4) : 0;
    header->command_status = len >= 12 ? smpp_get32(data + 8) : 0;
    header->sequence_number = 0;
}

enum smpp_frame_verdict smpp_frame_torn(const uint8_t *data, size_t len, uint32_t max,
                                        struct smpp_header *header)
{
    if (len < 4)
        return SMPP_FRAME_PARTIAL;
    uint32_t length = smpp_get32(data);
    if (length >= SMPP_HEADER_LEN && length <= max)
        return SMPP_FRAME_PARTIAL;
    read_torn_header(data, len, header);
    return SMPP_FRAME_BAD;
}

void smpp_put_header(uint8_t out[SMPP_HEADER_LEN], const struct smpp_header *header)
{
    smpp_put32(out, header->length);
    smpp_put32(out + 4, header->command_id);
    smpp_put32(out + 8, header->command_status);
    smpp_put32(out + 12, header->sequence_number);
}
