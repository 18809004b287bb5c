/* The path of a message: forward.c's submit and on_leg_response, and all that they call for the usual message. It is
 * one piece of code each: the calls between its forty small functions cost more than most of them do.
 *
 * Not in it is what few messages meet: a refusal, a wait, a part of several, a table that has changed. */
#ifndef PROXY_PATH_H
#define PROXY_PATH_H

/* This function and all that it calls become one, where the compiler sees them. */
#define IN_ONE_PIECE __attribute__((flatten))

/* But not this one. */
#define SELDOM __attribute__((noinline, cold))

#endif
