/* The row of the routing table by which a number is given to a carrier by itself.
 *
 *   "0211234567" ──as the instances look it up──▶ "64211234567" ──▶ "+64211234567", whose one cell stands under .number */
#ifndef ROUTING_CTL_NUMBER_ROW_H
#define ROUTING_CTL_NUMBER_ROW_H

#include <stdbool.h>

#include "routing/ctl/ctl.h"
#include "routing/numbers.h"

enum { NUMBER_ROW_SIZE = 1 + NUMBER_DIGITS_MAX + 1 };

/* False where it is no number: 1 to NUMBER_DIGITS_MAX digits, with or without '+'. */
bool number_row_of(const char *number, char row[NUMBER_ROW_SIZE]);

/* The row for a number as clients may send it, in the form in which the living instances look it up (country-code,
 * national-prefix, international-prefix): any other row would never match. CTL_DONE, or what the command ends with, which
 * was told: it is no number, the instances do not agree, or none is there to say what a number with 0 before it is. */
enum ctl_exit number_row_read(struct ctl *ctl, const char *number, char row[NUMBER_ROW_SIZE]);

#endif
