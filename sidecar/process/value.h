/* value: attributes and their values, read off the wire.
 *
 *   KeyValue { 1 key, 2 AnyValue }     AnyValue { 1 string | 2 bool | 3 int | 4 double | 5 list
 *                                                 6 map of KeyValue | 7 bytes }
 *
 * Input is what otlp_walk() has accepted; on other bytes nothing outside them is read. Views are of
 * the input. Of a key that comes twice the first counts, of a value that comes twice the last.
 */
#ifndef SIDECAR_PROCESS_VALUE_H
#define SIDECAR_PROCESS_VALUE_H

#include "common/expr/expr.h"
#include "sidecar/otlp/schema.h"

enum { KEY_VALUE_KEY = 1, KEY_VALUE_VALUE = 2 };
enum { ANY_STRING = 1, ANY_BOOL, ANY_INT, ANY_DOUBLE, ANY_ARRAY, ANY_MAP, ANY_BYTES };

/* Values nested deeper than this aren't copied to other places, where they might be nested deeper
 * than decoders allow. */
#define VALUE_DEPTH_MAX 60

/* The field that holds the attributes of such a message; 0: it has none. */
uint32_t value_attributes_field(enum otlp_message_id message);

void value_of_attribute(struct bytes key_value, struct bytes *ret_key, struct bytes *ret_any);

/* The value of `key` among the KeyValues in field `number` of a message. */
bool value_find(struct bytes message, uint32_t number, struct bytes key, struct bytes *ret_any);

/* The member of a value that is a map. */
bool value_member(struct bytes any, struct bytes key, struct bytes *ret_any);

struct expr_value value_read(struct bytes any);

/* True: its messages are nested at most `depth` deep. */
bool value_is_shallow(struct bytes any, unsigned depth);

#endif
