/* fingerprint: a short name for a JSON tree, for annotations: 16 hex digits (FNV-1a, 64 bit) of its
 * compact text. Trees that print alike have the same one; it keeps nobody from forging one. Pure.
 */
#ifndef CONTROLLER_API_FINGERPRINT_H
#define CONTROLLER_API_FINGERPRINT_H

#include "common/json.h"

#define FINGERPRINT_SIZE 17

void fingerprint(const struct json *json, char into[FINGERPRINT_SIZE]);

#endif
