/* functions/ ──build──▶ functions_lua[] ──functions_text──▶ FUNCTION LOAD REPLACE */
#include "routing/functions.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* ISO C promises 4095 characters in a literal; every compiler that we build with takes far more. */
#pragma GCC diagnostic ignored "-Woverlength-strings"
#include "functions_lua.h"

const char *functions_text(void)
{
    return functions_lua;
}

/* Read from the text, so that the number stands in one place. */
long long functions_version(void)
{
    static const char mark[] = "local LIBRARY_VERSION = ";
    const char *found = strstr(functions_lua, mark);
    assert(found != NULL);
    return strtoll(found + sizeof(mark) - 1, NULL, 10);
}
