#include "proxy/utf8.h"

size_t utf8_length(const uint8_t *data, size_t len)
{
    uint8_t first = data[0];
    if (first < 0x80)
        return 1;
    size_t need = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    if (first < 0xC2 || first > 0xF4 || need > len)
        return 0;
    uint8_t low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
    uint8_t high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
    if (data[1] < low || data[1] > high)
        return 0;
    for (size_t i = 2; i < need; i++) {
        if ((data[i] & 0xC0) != 0x80)
            return 0;
    }
    return need;
}

bool utf8_is_control(const uint8_t *data, size_t len)
{
    if (len == 1)
        return data[0] < 0x20 || data[0] == 0x7F;
    return len == 2 && data[0] == 0xC2 && data[1] < 0xA0; /* C1: some terminals obey them */
}
