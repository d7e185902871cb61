// Opens OpenSSL 3, wraps the macros that Swift cannot call, and holds the BIO that reads and writes flat memory.
#pragma once
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

// Ciphertext on its way in and out of one engine call. A lane owns one and lends it to one TLS session at a time.
typedef struct cssl_flat {
    const unsigned char *in;
    size_t in_length;
    unsigned char *out;
    size_t out_length;
    size_t out_capacity;
} cssl_flat;

static inline int cssl_flat_read(BIO *bio, char *to, int length) {
    cssl_flat *flat = (cssl_flat *)BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (flat == NULL || flat->in_length == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    size_t count = flat->in_length < (size_t)length ? flat->in_length : (size_t)length;
    memcpy(to, flat->in, count);
    flat->in += count;
    flat->in_length -= count;
    return (int)count;
}

static inline int cssl_flat_write(BIO *bio, const char *from, int length) {
    cssl_flat *flat = (cssl_flat *)BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (flat == NULL || length < 0) return -1;
    size_t needed = flat->out_length + (size_t)length;
    if (needed > flat->out_capacity) {
        size_t grown = flat->out_capacity * 2 > needed ? flat->out_capacity * 2 : needed;
        unsigned char *fresh = (unsigned char *)realloc(flat->out, grown);
        if (fresh == NULL) return -1;
        flat->out = fresh;
        flat->out_capacity = grown;
    }
    memcpy(flat->out + flat->out_length, from, (size_t)length);
    flat->out_length = needed;
    return length;
}

static inline long cssl_flat_control(BIO *bio, int command, long number, void *pointer) {
    (void)bio, (void)number, (void)pointer;
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

static inline int cssl_flat_create(BIO *bio) {
    BIO_set_init(bio, 1);
    return 1;
}

static inline BIO_METHOD *cssl_flat_method(void) {
    BIO_METHOD *method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "flat");
    if (method == NULL) return NULL;
    BIO_meth_set_read(method, cssl_flat_read);
    BIO_meth_set_write(method, cssl_flat_write);
    BIO_meth_set_ctrl(method, cssl_flat_control);
    BIO_meth_set_create(method, cssl_flat_create);
    return method;
}

// Gives the session one BIO for both directions; false when memory is short.
static inline int cssl_attach(SSL *ssl, BIO_METHOD *method, cssl_flat *flat) {
    BIO *bio = BIO_new(method);
    if (bio == NULL) return 0;
    BIO_set_data(bio, flat);
    SSL_set_bio(ssl, bio, bio);
    return 1;
}

static inline int cssl_only_tls13(SSL_CTX *context) {
    return SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) == 1
        && SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION) == 1;
}
static inline int cssl_at_least_tls12(SSL_CTX *context) {
    return SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1;
}
static inline void cssl_keep_buffers(SSL *ssl, int keep) {
    if (keep) {
        SSL_clear_mode(ssl, SSL_MODE_RELEASE_BUFFERS);
    } else {
        SSL_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS);
        SSL_free_buffers(ssl);
    }
}
static inline void cssl_frugal(SSL_CTX *context) {
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_num_tickets(context, 0);
    SSL_CTX_set_read_ahead(context, 0);
}
static inline int cssl_set_server_name(SSL *ssl, const char *name) { return (int)SSL_set_tlsext_host_name(ssl, name); }

static inline X509 *cssl_peer_certificate(const SSL *ssl) { return SSL_get1_peer_certificate(ssl); }

// Copies the URI subject alternative name; returns its length, 0 when there is none, several, or it does not fit.
static inline int cssl_uri_name(X509 *certificate, char *to, int room) {
    GENERAL_NAMES *names = (GENERAL_NAMES *)X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    if (names == NULL) return 0;
    int found = 0, count = 0;
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type != GEN_URI) continue;
        count++;
        int length = ASN1_STRING_length(name->d.uniformResourceIdentifier);
        if (length <= 0 || length > room) continue;
        memcpy(to, ASN1_STRING_get0_data(name->d.uniformResourceIdentifier), (size_t)length);
        found = length;
    }
    GENERAL_NAMES_free(names);
    return count == 1 ? found : 0;
}

// `*.example.com` stands for one label, `a*.example.com` for nothing.
static inline unsigned int cssl_only_whole_wildcards(void) { return X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS; }

// Seconds since 1970; -1 when there is no time or it cannot be told.
static inline int64_t cssl_seconds(const ASN1_TIME *time) {
    int days = 0, seconds = 0;
    ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
    int told = epoch != NULL && time != NULL && ASN1_TIME_diff(&days, &seconds, epoch, time) == 1;
    ASN1_TIME_free(epoch);
    return told ? (int64_t)days * 86400 + seconds : -1;
}

// When the first certificate of the context's own chain expires; -1 when it has none.
static inline int64_t cssl_own_expiry(SSL_CTX *context) {
    X509 *leaf = SSL_CTX_get0_certificate(context);
    if (leaf == NULL) return -1;
    int64_t earliest = cssl_seconds(X509_get0_notAfter(leaf));
    STACK_OF(X509) *chain = NULL;
    SSL_CTX_get0_chain_certs(context, &chain);
    for (int i = 0; i < sk_X509_num(chain); i++) {
        int64_t expiry = cssl_seconds(X509_get0_notAfter(sk_X509_value(chain, i)));
        if (expiry < earliest) earliest = expiry;
    }
    return earliest;
}

// When the last certificate expires that the context trusts: while an authority is replaced, the file holds the old one and the new one.
static inline int64_t cssl_trust_expiry(SSL_CTX *context) {
    int64_t latest = -1;
    STACK_OF(X509) *all = X509_STORE_get1_all_certs(SSL_CTX_get_cert_store(context));
    for (int i = 0; i < sk_X509_num(all); i++) {
        int64_t expiry = cssl_seconds(X509_get0_notAfter(sk_X509_value(all, i)));
        if (expiry > latest) latest = expiry;
    }
    sk_X509_pop_free(all, X509_free);
    return latest;
}

// Adds every CRL of a PEM file and asks for them from then on; 1 when there is one at least and none is damaged. `next` becomes the first
// moment at which one of them is out of date, -1 when none says.
static inline int cssl_add_crls(SSL_CTX *context, const char *path, int64_t *next) {
    BIO *file = BIO_new_file(path, "r");
    if (file == NULL) return 0;
    X509_STORE *store = SSL_CTX_get_cert_store(context);
    int count = 0, added = 1;
    *next = -1;
    for (X509_CRL *crl; added && (crl = PEM_read_bio_X509_CRL(file, NULL, NULL, NULL)) != NULL; count++) {
        int64_t update = cssl_seconds(X509_CRL_get0_nextUpdate(crl));
        if (update >= 0 && (*next < 0 || update < *next)) *next = update;
        added = X509_STORE_add_crl(store, crl);
        X509_CRL_free(crl);
    }
    BIO_free(file);
    if (!added || count == 0 || ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE) return 0;
    ERR_clear_error();
    return X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK);
}

// What the context's files say of a certificate now: X509_V_OK, or why it is refused.
static inline int cssl_verify(SSL_CTX *context, X509 *certificate, STACK_OF(X509) *chain) {
    X509_STORE_CTX *check = X509_STORE_CTX_new();
    int error = X509_V_ERR_OUT_OF_MEM;
    if (check != NULL && X509_STORE_CTX_init(check, SSL_CTX_get_cert_store(context), certificate, chain) == 1) {
        X509_verify_cert(check);
        error = X509_STORE_CTX_get_error(check);
    }
    X509_STORE_CTX_free(check);
    return error;
}
static inline int cssl_verify_own(SSL_CTX *context) {
    STACK_OF(X509) *chain = NULL;
    SSL_CTX_get0_chain_certs(context, &chain);
    return cssl_verify(context, SSL_CTX_get0_certificate(context), chain);
}
static inline int cssl_verify_peer(SSL_CTX *context, SSL *ssl) {
    X509 *certificate = SSL_get1_peer_certificate(ssl);
    if (certificate == NULL) return X509_V_OK;
    int error = cssl_verify(context, certificate, SSL_get_peer_cert_chain(ssl));
    X509_free(certificate);
    return error;
}
static inline int cssl_is_about_crl(int error) {
    return error == X509_V_ERR_UNABLE_TO_GET_CRL || error == X509_V_ERR_UNABLE_TO_DECRYPT_CRL_SIGNATURE
        || error == X509_V_ERR_CRL_SIGNATURE_FAILURE || error == X509_V_ERR_CRL_NOT_YET_VALID
        || error == X509_V_ERR_CRL_HAS_EXPIRED || error == X509_V_ERR_UNABLE_TO_GET_CRL_ISSUER
        || error == X509_V_ERR_ERROR_IN_CRL_LAST_UPDATE_FIELD || error == X509_V_ERR_ERROR_IN_CRL_NEXT_UPDATE_FIELD;
}
