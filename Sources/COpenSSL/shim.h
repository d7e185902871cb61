// Opens OpenSSL 3, wraps the macros that Swift cannot call, and holds the BIO that reads and writes flat memory.
#pragma once
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
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

// Copies the first URI subject alternative name; returns its length, 0 when there is none or it does not fit.
static inline int cssl_uri_name(X509 *certificate, char *to, int room) {
    GENERAL_NAMES *names = (GENERAL_NAMES *)X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    if (names == NULL) return 0;
    int found = 0;
    for (int i = 0; i < sk_GENERAL_NAME_num(names) && found == 0; i++) {
        GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type != GEN_URI) continue;
        int length = ASN1_STRING_length(name->d.uniformResourceIdentifier);
        if (length <= 0 || length > room) continue;
        memcpy(to, ASN1_STRING_get0_data(name->d.uniformResourceIdentifier), (size_t)length);
        found = length;
    }
    GENERAL_NAMES_free(names);
    return found;
}
