#include "tests/support/certs.h"

#include "tests/support/test.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

struct cert_authority {
    EVP_PKEY *key;
    X509 *certificate;
};

static EVP_PKEY *make_key(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    assert_non_null(key);
    return key;
}

static void add_extension(X509 *certificate, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    assert_non_null(extension);
    assert_int_equal(X509_add_ext(certificate, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

static X509 *make_certificate(const char *name, EVP_PKEY *key, X509 *issuer, long valid_s)
{
    uint64_t serial;
    X509 *made = X509_new();
    assert_non_null(made);
    assert_int_equal(RAND_bytes((unsigned char *)&serial, sizeof serial), 1);
    X509_set_version(made, X509_VERSION_3);
    ASN1_INTEGER_set_uint64(X509_get_serialNumber(made), serial >> 1);
    X509_gmtime_adj(X509_getm_notBefore(made), -60);
    X509_gmtime_adj(X509_getm_notAfter(made), valid_s);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(made), "CN", MBSTRING_UTF8,
                               (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(made, X509_get_subject_name(issuer != NULL ? issuer : made));
    X509_set_pubkey(made, key);
    return made;
}

static FILE *open_file(const char *path)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    return file;
}

static void write_certificate(X509 *certificate, const char *path)
{
    FILE *file = open_file(path);
    assert_int_equal(PEM_write_X509(file, certificate), 1);
    assert_int_equal(fclose(file), 0);
}

struct cert_authority *cert_authority_create(const char *name, const char *path)
{
    struct cert_authority *made = calloc(1, sizeof *made);
    assert_non_null(made);
    made->key = make_key();
    made->certificate = make_certificate(name, made->key, NULL, 3600);
    add_extension(made->certificate, made->certificate, NID_basic_constraints, "critical,CA:TRUE");
    add_extension(made->certificate, made->certificate, NID_key_usage, "critical,keyCertSign");
    assert_true(X509_sign(made->certificate, made->key, EVP_sha256()) > 0);
    write_certificate(made->certificate, path);
    return made;
}

void cert_authority_destroy(struct cert_authority **authority)
{
    struct cert_authority *old = *authority;
    if (old == NULL)
        return;
    X509_free(old->certificate);
    EVP_PKEY_free(old->key);
    free(old);
    *authority = NULL;
}

void cert_issue(struct cert_authority *authority, const char *name, long valid_s,
                const char *certificate_path, const char *key_path)
{
    EVP_PKEY *key = make_key();
    X509 *made = make_certificate(name, key, authority->certificate, valid_s);
    add_extension(made, authority->certificate, NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1");
    assert_true(X509_sign(made, authority->key, EVP_sha256()) > 0);
    write_certificate(made, certificate_path);

    FILE *file = open_file(key_path);
    assert_int_equal(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL), 1);
    assert_int_equal(fclose(file), 0);
    X509_free(made);
    EVP_PKEY_free(key);
}
