// Opens the reply parser of hiredis.
#pragma once
#include <hiredis/hiredis.h>
#include <hiredis/read.h>
#include <stddef.h>

// From 1.0 on hiredis parses RESP3, which is never asked for; without these functions it would make up values for doubles and booleans.
#if defined(HIREDIS_MAJOR) && HIREDIS_MAJOR >= 1
static inline void *chiredis_no_double(const redisReadTask *task, double value, char *text, size_t length) {
    (void)task, (void)value, (void)text, (void)length;
    return NULL;
}
static inline void *chiredis_no_bool(const redisReadTask *task, int value) {
    (void)task, (void)value;
    return NULL;
}
static inline void chiredis_refuse_resp3(redisReplyObjectFunctions *table) {
    table->createDouble = chiredis_no_double;
    table->createBool = chiredis_no_bool;
}
#else
static inline void chiredis_refuse_resp3(redisReplyObjectFunctions *table) { (void)table; }
#endif
