/* A model of a Redis server: the keys and commands that Turnout's functions use, and those functions themselves, run by
 * the same interpreter as Redis' (Lua 5.1) from the text that the build embeds. Time is passed in. */
#ifndef TEST_SIM_REDIS_MODEL_H
#define TEST_SIM_REDIS_MODEL_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct redis_model;

struct redis_model *redis_model_new(void);
void redis_model_free(struct redis_model *model);

/* The content of another, as a replica gets it. */
void redis_model_copy(struct redis_model *to, const struct redis_model *from);

/* Another server runs the functions from now on: what their library remembers beside the keys is gone. */
void redis_model_new_server(void);

/* Runs a command at a time (ms since 1970). The answer is the caller's (redis_model_reply_free). XREAD never blocks here:
 * nil where there is nothing. */
redisReply *redis_model_command(struct redis_model *model, uint64_t now_ms, size_t count,
                                const char *const *strings, const size_t *lens);
void redis_reply_free(redisReply *reply);

/* Counts the commands that changed something. */
uint64_t redis_model_writes(const struct redis_model *model);

#endif
