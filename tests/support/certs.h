/* certs: certificate files for tests, made as they are needed. Keys are P-256, which is quick.
 *
 * An authority signs for "localhost" and 127.0.0.1. All of it fails the test rather than returning
 * an error.
 */
#ifndef TESTS_SUPPORT_CERTS_H
#define TESTS_SUPPORT_CERTS_H

struct cert_authority;

/* Writes its own certificate to `path` in PEM. */
struct cert_authority *cert_authority_create(const char *name, const char *path);
void cert_authority_destroy(struct cert_authority **authority);

/* Writes a certificate that it signed, and its key. */
void cert_issue(struct cert_authority *authority, const char *name, long valid_s,
                const char *certificate_path, const char *key_path);

#endif
