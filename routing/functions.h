/* The library of functions that Redis must hold (functions/), as text for FUNCTION LOAD. */
#ifndef ROUTING_FUNCTIONS_H
#define ROUTING_FUNCTIONS_H

/* The library's source, for "FUNCTION LOAD REPLACE". Static. */
const char *functions_text(void);

/* Its number, as turnout_info answers it. Load the library where Redis has none or a lower number; a higher
 * one belongs to a newer release and must stay, or instances of two releases would replace it in turn. */
long long functions_version(void);

#endif
