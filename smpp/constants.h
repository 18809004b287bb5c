/* SMPP's numbers, each declared once: the tables below make the enums, the names and the documentation.
 * SMPP 3.4 sections 5.1.2.1 (commands), 5.1.3 (statuses), 5.3.2 (tags), with the additions of 5.0. */
#ifndef SMPP_CONSTANTS_H
#define SMPP_CONSTANTS_H

#include <stdbool.h>
#include <stdint.h>

#define SMPP_RESPONSE_BIT 0x80000000U
#define SMPP_SEQUENCE_MAX 0x7FFFFFFFU

/* X(identifier, command id, name, section of SMPP 3.4). The requests; the responses follow from them. */
#define SMPP_REQUESTS(X)                                                  \
    X(SMPP_BIND_RECEIVER, 0x00000001U, "bind_receiver", "4.1.3")          \
    X(SMPP_BIND_TRANSMITTER, 0x00000002U, "bind_transmitter", "4.1.1")    \
    X(SMPP_QUERY_SM, 0x00000003U, "query_sm", "4.8")                      \
    X(SMPP_SUBMIT_SM, 0x00000004U, "submit_sm", "4.4")                    \
    X(SMPP_DELIVER_SM, 0x00000005U, "deliver_sm", "4.6")                  \
    X(SMPP_UNBIND, 0x00000006U, "unbind", "4.2")                          \
    X(SMPP_REPLACE_SM, 0x00000007U, "replace_sm", "4.10")                 \
    X(SMPP_CANCEL_SM, 0x00000008U, "cancel_sm", "4.9")                    \
    X(SMPP_BIND_TRANSCEIVER, 0x00000009U, "bind_transceiver", "4.1.5")    \
    X(SMPP_OUTBIND, 0x0000000BU, "outbind", "4.1.7")                      \
    X(SMPP_ENQUIRE_LINK, 0x00000015U, "enquire_link", "4.11")             \
    X(SMPP_SUBMIT_MULTI, 0x00000021U, "submit_multi", "4.5")              \
    X(SMPP_ALERT_NOTIFICATION, 0x00000102U, "alert_notification", "4.12") \
    X(SMPP_DATA_SM, 0x00000103U, "data_sm", "4.7")

#define SMPP_REQUEST_ENUM(id, value, name, section) id = (int)(value),
enum smpp_request { SMPP_REQUESTS(SMPP_REQUEST_ENUM) };
#undef SMPP_REQUEST_ENUM

#define SMPP_GENERIC_NACK 0x80000000U

/* A dense index of a command, requests and responses alike, for tables and counters: 0 ..
 * SMPP_COMMAND_COUNT-1. Index 0 is "unknown", 1 is generic_nack, then pairs of request and response
 * (SMPP_SUBMIT_SM_INDEX, SMPP_SUBMIT_SM_RESP_INDEX ...). The places of outbind_resp and
 * alert_notification_resp, which do not exist, stay empty: those ids are unknown. */
#define SMPP_INDEX_ENUM(id, value, name, section) id##_INDEX, id##_RESP_INDEX,
enum smpp_command_index {
    SMPP_UNKNOWN_INDEX,
    SMPP_GENERIC_NACK_INDEX,
    SMPP_REQUESTS(SMPP_INDEX_ENUM) SMPP_COMMAND_COUNT
};
#undef SMPP_INDEX_ENUM

/* A perfect hash of the request ids, so that the index costs one load and no search. Two ids in one place do
 * not compile (an initializer overridden). */
#define SMPP_COMMAND_PLACE(id) (((id) ^ ((id) >> 3)) & 0x3FU)
struct smpp_command_place {
    uint32_t request;
    uint8_t index[2]; /* of the request, of the response */
};
extern const struct smpp_command_place smpp_command_places[0x40];

static inline unsigned smpp_command_index(uint32_t command_id)
{
    uint32_t request = command_id & ~SMPP_RESPONSE_BIT;
    const struct smpp_command_place *place = &smpp_command_places[SMPP_COMMAND_PLACE(request)];
    return place->request == request ? place->index[command_id >> 31] : (unsigned)SMPP_UNKNOWN_INDEX;
}

/* The name of an index ("submit_sm_resp"), or "unknown". */
const char *smpp_command_name_at(unsigned index);

/* The name of a command id ("submit_sm_resp"), or "unknown". */
const char *smpp_command_name(uint32_t command_id);
bool smpp_command_known(uint32_t command_id);

static inline bool smpp_is_response(uint32_t command_id)
{
    return (command_id & SMPP_RESPONSE_BIT) != 0;
}

static inline bool smpp_is_bind(uint32_t command_id)
{
    return command_id == SMPP_BIND_RECEIVER || command_id == SMPP_BIND_TRANSMITTER ||
           command_id == SMPP_BIND_TRANSCEIVER;
}

/* outbind, alert_notification and generic_nack have no response. */
static inline bool smpp_has_response(uint32_t command_id)
{
    return command_id != SMPP_OUTBIND && command_id != SMPP_ALERT_NOTIFICATION &&
           !smpp_is_response(command_id);
}

/* X(identifier, value, what it says). SMPP 3.4 section 5.1.3; from 0x100 on, SMPP 5.0 section 4.7.6. */
#define SMPP_STATUSES(X)                                                           \
    X(ESME_ROK, 0x00000000U, "no error")                                           \
    X(ESME_RINVMSGLEN, 0x00000001U, "message length is invalid")                   \
    X(ESME_RINVCMDLEN, 0x00000002U, "command length is invalid")                   \
    X(ESME_RINVCMDID, 0x00000003U, "invalid command id")                           \
    X(ESME_RINVBNDSTS, 0x00000004U, "incorrect bind status for the command")       \
    X(ESME_RALYBND, 0x00000005U, "already bound")                                  \
    X(ESME_RINVPRTFLG, 0x00000006U, "invalid priority flag")                       \
    X(ESME_RINVREGDLVFLG, 0x00000007U, "invalid registered delivery flag")         \
    X(ESME_RSYSERR, 0x00000008U, "system error")                                   \
    X(ESME_RINVSRCADR, 0x0000000AU, "invalid source address")                      \
    X(ESME_RINVDSTADR, 0x0000000BU, "invalid destination address")                 \
    X(ESME_RINVMSGID, 0x0000000CU, "message id is invalid")                        \
    X(ESME_RBINDFAIL, 0x0000000DU, "bind failed")                                  \
    X(ESME_RINVPASWD, 0x0000000EU, "invalid password")                             \
    X(ESME_RINVSYSID, 0x0000000FU, "invalid system id")                            \
    X(ESME_RCANCELFAIL, 0x00000011U, "cancel_sm failed")                           \
    X(ESME_RREPLACEFAIL, 0x00000013U, "replace_sm failed")                         \
    X(ESME_RMSGQFUL, 0x00000014U, "message queue full")                            \
    X(ESME_RINVSERTYP, 0x00000015U, "invalid service type")                        \
    X(ESME_RINVNUMDESTS, 0x00000033U, "invalid number of destinations")            \
    X(ESME_RINVDLNAME, 0x00000034U, "invalid distribution list name")              \
    X(ESME_RINVDESTFLAG, 0x00000040U, "invalid destination flag")                  \
    X(ESME_RINVSUBREP, 0x00000042U, "invalid submit with replace")                 \
    X(ESME_RINVESMCLASS, 0x00000043U, "invalid esm_class")                         \
    X(ESME_RCNTSUBDL, 0x00000044U, "cannot submit to the distribution list")       \
    X(ESME_RSUBMITFAIL, 0x00000045U, "submit_sm or submit_multi failed")           \
    X(ESME_RINVSRCTON, 0x00000048U, "invalid source address TON")                  \
    X(ESME_RINVSRCNPI, 0x00000049U, "invalid source address NPI")                  \
    X(ESME_RINVDSTTON, 0x00000050U, "invalid destination address TON")             \
    X(ESME_RINVDSTNPI, 0x00000051U, "invalid destination address NPI")             \
    X(ESME_RINVSYSTYP, 0x00000053U, "invalid system_type")                         \
    X(ESME_RINVREPFLAG, 0x00000054U, "invalid replace_if_present flag")            \
    X(ESME_RINVNUMMSGS, 0x00000055U, "invalid number of messages")                 \
    X(ESME_RTHROTTLED, 0x00000058U, "throttled, message limits exceeded")          \
    X(ESME_RINVSCHED, 0x00000061U, "invalid scheduled delivery time")              \
    X(ESME_RINVEXPIRY, 0x00000062U, "invalid validity period")                     \
    X(ESME_RINVDFTMSGID, 0x00000063U, "predefined message invalid or not found")   \
    X(ESME_RX_T_APPN, 0x00000064U, "receiver: temporary application error")        \
    X(ESME_RX_P_APPN, 0x00000065U, "receiver: permanent application error")        \
    X(ESME_RX_R_APPN, 0x00000066U, "receiver: message rejected")                   \
    X(ESME_RQUERYFAIL, 0x00000067U, "query_sm failed")                             \
    X(ESME_RINVOPTPARSTREAM, 0x000000C0U, "error in the optional parameters")      \
    X(ESME_ROPTPARNOTALLWD, 0x000000C1U, "optional parameter not allowed")         \
    X(ESME_RINVPARLEN, 0x000000C2U, "invalid parameter length")                    \
    X(ESME_RMISSINGOPTPARAM, 0x000000C3U, "expected optional parameter missing")   \
    X(ESME_RINVOPTPARAMVAL, 0x000000C4U, "invalid optional parameter value")       \
    X(ESME_RDELIVERYFAILURE, 0x000000FEU, "delivery failure")                      \
    X(ESME_RUNKNOWNERR, 0x000000FFU, "unknown error")                              \
    X(ESME_RSERTYPUNAUTH, 0x00000100U, "not authorised for the service type")      \
    X(ESME_RPROHIBITED, 0x00000101U, "prohibited from this operation")             \
    X(ESME_RSERTYPUNAVAIL, 0x00000102U, "service type unavailable")                \
    X(ESME_RSERTYPDENIED, 0x00000103U, "service type denied")                      \
    X(ESME_RINVDCS, 0x00000104U, "invalid data coding scheme")                     \
    X(ESME_RINVSRCADDRSUBUNIT, 0x00000105U, "invalid source address subunit")      \
    X(ESME_RINVDSTADDRSUBUNIT, 0x00000106U, "invalid destination address subunit") \
    X(ESME_RINVBCASTFREQINT, 0x00000107U, "invalid broadcast frequency interval")  \
    X(ESME_RINVBCASTALIAS_NAME, 0x00000108U, "invalid broadcast alias name")       \
    X(ESME_RINVBCASTAREAFMT, 0x00000109U, "invalid broadcast area format")         \
    X(ESME_RINVNUMBCAST_AREAS, 0x0000010AU, "invalid number of broadcast areas")   \
    X(ESME_RINVBCASTCNTTYPE, 0x0000010BU, "invalid broadcast content type")        \
    X(ESME_RINVBCASTMSGCLASS, 0x0000010CU, "invalid broadcast message class")      \
    X(ESME_RBCASTFAIL, 0x0000010DU, "broadcast_sm failed")                         \
    X(ESME_RBCASTQUERYFAIL, 0x0000010EU, "query_broadcast_sm failed")              \
    X(ESME_RBCASTCANCELFAIL, 0x0000010FU, "cancel_broadcast_sm failed")            \
    X(ESME_RINVBCAST_REP, 0x00000110U, "invalid number of repeated broadcasts")    \
    X(ESME_RINVBCASTSRVGRP, 0x00000111U, "invalid broadcast service group")        \
    X(ESME_RINVBCASTCHANIND, 0x00000112U, "invalid broadcast channel indicator")

#define SMPP_STATUS_ENUM(id, value, text) id = (int)(value),
enum smpp_status { SMPP_STATUSES(SMPP_STATUS_ENUM) };
#undef SMPP_STATUS_ENUM

/* A dense index of a status for counters: one a row of the table, then one "vendor" (0x400 .. 0x4FF) and one
 * "other". */
unsigned smpp_status_index(uint32_t command_status);
unsigned smpp_status_count(void);
const char *smpp_status_name_at(unsigned index);

/* "ESME_RTHROTTLED" for 0x58; NULL where the table has no row. */
const char *smpp_status_name(uint32_t command_status);

/* The other way, for config files: a name of the table (any case) or a number ("0x14", "20"). */
bool smpp_status_parse(const char *text, uint32_t *command_status);

/* X(identifier, tag, name). SMPP 3.4 section 5.3.2, with the tags that 5.0 adds. Vendors' tags (0x1400 to
 * 0x3FFF) collide, so they have meaning only by configuration and no row here. */
#define SMPP_TAGS(X)                                                                  \
    X(SMPP_TAG_DEST_ADDR_SUBUNIT, 0x0005U, "dest_addr_subunit")                       \
    X(SMPP_TAG_DEST_NETWORK_TYPE, 0x0006U, "dest_network_type")                       \
    X(SMPP_TAG_DEST_BEARER_TYPE, 0x0007U, "dest_bearer_type")                         \
    X(SMPP_TAG_DEST_TELEMATICS_ID, 0x0008U, "dest_telematics_id")                     \
    X(SMPP_TAG_SOURCE_ADDR_SUBUNIT, 0x000DU, "source_addr_subunit")                   \
    X(SMPP_TAG_SOURCE_NETWORK_TYPE, 0x000EU, "source_network_type")                   \
    X(SMPP_TAG_SOURCE_BEARER_TYPE, 0x000FU, "source_bearer_type")                     \
    X(SMPP_TAG_SOURCE_TELEMATICS_ID, 0x0010U, "source_telematics_id")                 \
    X(SMPP_TAG_QOS_TIME_TO_LIVE, 0x0017U, "qos_time_to_live")                         \
    X(SMPP_TAG_PAYLOAD_TYPE, 0x0019U, "payload_type")                                 \
    X(SMPP_TAG_ADDITIONAL_STATUS_INFO_TEXT, 0x001DU, "additional_status_info_text")   \
    X(SMPP_TAG_RECEIPTED_MESSAGE_ID, 0x001EU, "receipted_message_id")                 \
    X(SMPP_TAG_MS_MSG_WAIT_FACILITIES, 0x0030U, "ms_msg_wait_facilities")             \
    X(SMPP_TAG_PRIVACY_INDICATOR, 0x0201U, "privacy_indicator")                       \
    X(SMPP_TAG_SOURCE_SUBADDRESS, 0x0202U, "source_subaddress")                       \
    X(SMPP_TAG_DEST_SUBADDRESS, 0x0203U, "dest_subaddress")                           \
    X(SMPP_TAG_USER_MESSAGE_REFERENCE, 0x0204U, "user_message_reference")             \
    X(SMPP_TAG_USER_RESPONSE_CODE, 0x0205U, "user_response_code")                     \
    X(SMPP_TAG_SOURCE_PORT, 0x020AU, "source_port")                                   \
    X(SMPP_TAG_DESTINATION_PORT, 0x020BU, "destination_port")                         \
    X(SMPP_TAG_SAR_MSG_REF_NUM, 0x020CU, "sar_msg_ref_num")                           \
    X(SMPP_TAG_LANGUAGE_INDICATOR, 0x020DU, "language_indicator")                     \
    X(SMPP_TAG_SAR_TOTAL_SEGMENTS, 0x020EU, "sar_total_segments")                     \
    X(SMPP_TAG_SAR_SEGMENT_SEQNUM, 0x020FU, "sar_segment_seqnum")                     \
    X(SMPP_TAG_SC_INTERFACE_VERSION, 0x0210U, "sc_interface_version")                 \
    X(SMPP_TAG_CALLBACK_NUM_PRES_IND, 0x0302U, "callback_num_pres_ind")               \
    X(SMPP_TAG_CALLBACK_NUM_ATAG, 0x0303U, "callback_num_atag")                       \
    X(SMPP_TAG_NUMBER_OF_MESSAGES, 0x0304U, "number_of_messages")                     \
    X(SMPP_TAG_CALLBACK_NUM, 0x0381U, "callback_num")                                 \
    X(SMPP_TAG_DPF_RESULT, 0x0420U, "dpf_result")                                     \
    X(SMPP_TAG_SET_DPF, 0x0421U, "set_dpf")                                           \
    X(SMPP_TAG_MS_AVAILABILITY_STATUS, 0x0422U, "ms_availability_status")             \
    X(SMPP_TAG_NETWORK_ERROR_CODE, 0x0423U, "network_error_code")                     \
    X(SMPP_TAG_MESSAGE_PAYLOAD, 0x0424U, "message_payload")                           \
    X(SMPP_TAG_DELIVERY_FAILURE_REASON, 0x0425U, "delivery_failure_reason")           \
    X(SMPP_TAG_MORE_MESSAGES_TO_SEND, 0x0426U, "more_messages_to_send")               \
    X(SMPP_TAG_MESSAGE_STATE, 0x0427U, "message_state")                               \
    X(SMPP_TAG_CONGESTION_STATE, 0x0428U, "congestion_state")                         \
    X(SMPP_TAG_USSD_SERVICE_OP, 0x0501U, "ussd_service_op")                           \
    X(SMPP_TAG_BROADCAST_CHANNEL_INDICATOR, 0x0600U, "broadcast_channel_indicator")   \
    X(SMPP_TAG_BROADCAST_CONTENT_TYPE, 0x0601U, "broadcast_content_type")             \
    X(SMPP_TAG_BROADCAST_CONTENT_TYPE_INFO, 0x0602U, "broadcast_content_type_info")   \
    X(SMPP_TAG_BROADCAST_MESSAGE_CLASS, 0x0603U, "broadcast_message_class")           \
    X(SMPP_TAG_BROADCAST_REP_NUM, 0x0604U, "broadcast_rep_num")                       \
    X(SMPP_TAG_BROADCAST_FREQUENCY_INTERVAL, 0x0605U, "broadcast_frequency_interval") \
    X(SMPP_TAG_BROADCAST_AREA_IDENTIFIER, 0x0606U, "broadcast_area_identifier")       \
    X(SMPP_TAG_BROADCAST_ERROR_STATUS, 0x0607U, "broadcast_error_status")             \
    X(SMPP_TAG_BROADCAST_AREA_SUCCESS, 0x0608U, "broadcast_area_success")             \
    X(SMPP_TAG_BROADCAST_END_TIME, 0x0609U, "broadcast_end_time")                     \
    X(SMPP_TAG_BROADCAST_SERVICE_GROUP, 0x060AU, "broadcast_service_group")           \
    X(SMPP_TAG_BILLING_IDENTIFICATION, 0x060BU, "billing_identification")             \
    X(SMPP_TAG_SOURCE_NETWORK_ID, 0x060DU, "source_network_id")                       \
    X(SMPP_TAG_DEST_NETWORK_ID, 0x060EU, "dest_network_id")                           \
    X(SMPP_TAG_SOURCE_NODE_ID, 0x060FU, "source_node_id")                             \
    X(SMPP_TAG_DEST_NODE_ID, 0x0610U, "dest_node_id")                                 \
    X(SMPP_TAG_DEST_ADDR_NP_RESOLUTION, 0x0611U, "dest_addr_np_resolution")           \
    X(SMPP_TAG_DEST_ADDR_NP_INFORMATION, 0x0612U, "dest_addr_np_information")         \
    X(SMPP_TAG_DEST_ADDR_NP_COUNTRY, 0x0613U, "dest_addr_np_country")                 \
    X(SMPP_TAG_DISPLAY_TIME, 0x1201U, "display_time")                                 \
    X(SMPP_TAG_SMS_SIGNAL, 0x1203U, "sms_signal")                                     \
    X(SMPP_TAG_MS_VALIDITY, 0x1204U, "ms_validity")                                   \
    X(SMPP_TAG_ALERT_ON_MESSAGE_DELIVERY, 0x130CU, "alert_on_message_delivery")       \
    X(SMPP_TAG_ITS_REPLY_TYPE, 0x1380U, "its_reply_type")                             \
    X(SMPP_TAG_ITS_SESSION_INFO, 0x1383U, "its_session_info")

#define SMPP_TAG_ENUM(id, value, name) id = (int)(value),
enum smpp_tag { SMPP_TAGS(SMPP_TAG_ENUM) };
#undef SMPP_TAG_ENUM

/* "message_payload" for 0x0424; NULL where the table has no row. */
const char *smpp_tag_name(uint16_t tag);

/* The other way, for config files: a name of the table (any case) or a number ("0x1401", "5121"). */
bool smpp_tag_parse(const char *text, uint16_t *tag);

#endif
