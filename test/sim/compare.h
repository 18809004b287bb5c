/* The model of Redis against a real server: the same random sequence of Turnout's functions, played to both. */
#ifndef TEST_SIM_COMPARE_H
#define TEST_SIM_COMPARE_H

#include <stdint.h>

/* A round from a seed, against 127.0.0.1:port, whose keys are thrown away. Ends the process where the two differ; returns
 * how many answers were compared. */
unsigned compare_with_redis(uint64_t seed, int port);

#endif
