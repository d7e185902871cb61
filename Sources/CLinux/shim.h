// Opens the Linux headers that the Glibc module leaves out, and wraps the macros that Swift cannot call.
#pragma once
// _GNU_SOURCE stays undefined: it changes types of the Glibc module and breaks debug builds. GNU prototypes are declared by hand.
#include <arpa/inet.h>
#include <errno.h>
#include <malloc.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

extern int accept4(int fd, struct sockaddr *address, socklen_t *length, int flags);

static inline int clinux_accept(int fd, struct sockaddr *address, socklen_t *length) {
    return accept4(fd, address, length, SOCK_NONBLOCK | SOCK_CLOEXEC);
}
static inline int clinux_errno(void) { return errno; }
static inline void clinux_name_thread(const char *name) { prctl(PR_SET_NAME, name, 0, 0, 0); }
static inline int clinux_set_option(int fd, int level, int option, int value) {
    return setsockopt(fd, level, option, &value, sizeof value);
}
static inline int clinux_pending_error(int fd) {
    int code = 0;
    socklen_t length = sizeof code;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &length) == 0 ? code : errno;
}
// Bytes that the peer's kernel acknowledged, and those that came from it in order, each with 1 for its SYN or FIN: the fields at 120 and 128 of
// the kernel's struct tcp_info (linux/tcp.h, since 4.1), which the C library's is too old for. 0 where the kernel does not tell.
static inline int clinux_tcp_delivery(int fd, uint64_t *acknowledged, uint64_t *received) {
    uint64_t facts[17] = {0};
    socklen_t length = sizeof facts;
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, facts, &length) != 0 || length < sizeof facts) return 0;
    *acknowledged = facts[15];
    *received = facts[16];
    return 1;
}
static inline long long clinux_monotonic(void) {
    struct timespec moment;
    clock_gettime(CLOCK_MONOTONIC, &moment);
    return moment.tv_sec * 1000000000LL + moment.tv_nsec;
}
static inline long long clinux_wall_microseconds(void) {
    struct timespec moment;
    clock_gettime(CLOCK_REALTIME, &moment);
    return moment.tv_sec * 1000000LL + moment.tv_nsec / 1000;
}
static inline void clinux_trim_memory(void) { malloc_trim(0); }
static inline int clinux_own_usage(struct rusage *usage) { return getrusage(RUSAGE_SELF, usage); }
static inline int clinux_get_descriptor_limit(struct rlimit *limit) { return getrlimit(RLIMIT_NOFILE, limit); }
static inline int clinux_set_descriptor_limit(const struct rlimit *limit) { return setrlimit(RLIMIT_NOFILE, limit); }
