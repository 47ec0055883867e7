/* syntax: what names and addresses may look like. Each returns OK, or ERR_INVALID with what is
 * wrong in `error`, to go behind a path; what to do instead is said by the field's own table.
 */
#ifndef COMMON_CONTRACT_SYNTAX_H
#define COMMON_CONTRACT_SYNTAX_H

#include "common/error.h"

enum err syntax_dns_label(const char *text, struct error *error);     /* a-z 0-9 -, at most 63 */
enum err syntax_dns_subdomain(const char *text, struct error *error); /* labels and dots, 253 */
enum err syntax_topic(const char *text, struct error *error);         /* Kafka's, at most 249 */
enum err syntax_group(const char *text, struct error *error);         /* consumer group */
enum err syntax_address(const char *text, struct error *error);       /* host:port */
enum err syntax_origin(const char *text, struct error *error);        /* of CORS; "*" */
enum err syntax_directory(const char *text, struct error *error);     /* absolute, no .. */
enum err syntax_header(const char *text, struct error *error);        /* name of an HTTP header */
enum err syntax_label(const char *text, struct error *error);     /* key of label or annotation */
enum err syntax_attribute(const char *text, struct error *error); /* key of an attribute */
enum err syntax_glob(const char *text, struct error *error);      /* of absolute paths */
enum err syntax_start_at(const char *text, struct error *error);  /* end, beginning, a time */

#endif
