/* Lets calls of the C library fail: a shared object for LD_PRELOAD, which a program arms through ctypes.
 *
 * Each rule says which call fails, after how many that succeed, how many times in a row, and with which errno. Calls of
 * threads that are exempt are neither counted nor failed: they are those of the peer. What libuv calls inside uvloop has
 * a number of its own, OF_LIBUV + that of the call. The counts are shared with forked children, so that a call between
 * fork and exec is seen as well.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <pty.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define CALLS(X) \
    X(accept4) X(recv) X(recvfrom) X(recvmsg) X(send) X(sendto) X(sendmsg) X(read) X(write) X(epoll_ctl) \
    X(epoll_wait) X(epoll_create1) X(poll) X(socket) X(socketpair) X(connect) X(bind) X(listen) X(shutdown) \
    X(getsockopt) X(setsockopt) X(getsockname) X(getpeername) X(fcntl) X(ioctl) X(close) X(open) X(fopen) \
    X(fstat) X(stat) X(eventfd) X(pipe2) X(dup) X(fork) X(waitpid) X(pidfd_open) X(pthread_create) X(getaddrinfo) \
    X(kill) X(unlink) X(flock) X(openpty)

#define NUMBER(name) CALL_##name,
#define NAME(name) #name,
enum { CALLS(NUMBER) COUNT, OF_LIBUV = COUNT };
static const char *const names[] = {CALLS(NAME)};

enum { RULES = 4 };

struct rule {
    int call; /* -1: none */
    int error;
    long skip;
    long count;
    long seen;
    long failed;
};

struct state {
    struct rule rules[RULES];
    int counting;
    long hits[2 * COUNT];
};

static struct state *state;
static __thread int exempt;

__attribute__((constructor)) static void begin(void) {
    struct state *made = mmap(NULL, sizeof *made, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (made == MAP_FAILED)
        abort();
    for (int each = 0; each < RULES; each++)
        made->rules[each].call = -1;
    state = made;
}

/* For the program. */

int failing_number(const char *name) {
    for (int each = 0; each < COUNT; each++)
        if (!strcmp(names[each], name))
            return each;
    return -1;
}

int failing_calls(void) { return COUNT; }

const char *failing_name(int call) { return names[call % COUNT]; }

void failing_arm(int which, int call, long skip, long count, int error) {
    struct rule *rule = &state->rules[which];
    __atomic_store_n(&rule->call, -1, __ATOMIC_SEQ_CST);
    rule->error = error;
    rule->skip = skip;
    rule->count = count;
    rule->seen = rule->failed = 0;
    __atomic_store_n(&rule->call, call, __ATOMIC_SEQ_CST);
}

/* From now on calls are counted, anew. */
void failing_count(void) {
    memset(state->hits, 0, sizeof state->hits);
    __atomic_store_n(&state->counting, 1, __ATOMIC_SEQ_CST);
}

void failing_disarm(void) {
    __atomic_store_n(&state->counting, 0, __ATOMIC_SEQ_CST);
    for (int each = 0; each < RULES; each++)
        __atomic_store_n(&state->rules[each].call, -1, __ATOMIC_SEQ_CST);
}

long failing_failed(int which) { return __atomic_load_n(&state->rules[which].failed, __ATOMIC_SEQ_CST); }

long failing_hits(int call) { return __atomic_load_n(&state->hits[call], __ATOMIC_SEQ_CST); }

int failing_exempt(int value) {
    int before = exempt;
    exempt = value;
    return before;
}

/* For the calls. */

static int isOfLibuv(const void *caller) {
    Dl_info found;
    return dladdr(caller, &found) && found.dli_fname && strstr(found.dli_fname, "/uvloop/") != NULL;
}

/* The errno to fail with, or 0. */
static int fails(int call, const void *caller) {
    if (exempt || !state || !__atomic_load_n(&state->counting, __ATOMIC_SEQ_CST))
        return 0;
    if (isOfLibuv(caller))
        call += OF_LIBUV;
    __atomic_fetch_add(&state->hits[call], 1, __ATOMIC_SEQ_CST);
    for (int each = 0; each < RULES; each++) {
        struct rule *rule = &state->rules[each];
        if (__atomic_load_n(&rule->call, __ATOMIC_SEQ_CST) != call)
            continue;
        long seen = __atomic_fetch_add(&rule->seen, 1, __ATOMIC_SEQ_CST);
        if (seen >= rule->skip && seen - rule->skip < rule->count) {
            __atomic_fetch_add(&rule->failed, 1, __ATOMIC_SEQ_CST);
            return rule->error;
        }
    }
    return 0;
}

#define CALLER __builtin_return_address(0)

#define REAL(type, name, ...)                                       \
    static type (*real)(__VA_ARGS__);                               \
    if (!real)                                                      \
    real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

#define FAIL(call)                                                  \
    do {                                                            \
        int error = fails(CALL_##call, CALLER);                     \
        if (error) {                                                \
            errno = error;                                          \
            return -1;                                              \
        }                                                           \
    } while (0)

/* A function that fails as `call` does, or is the next one's of that name. */
#define WRAP(type, name, call, parameters, arguments)               \
    type name parameters {                                          \
        static type(*real) parameters;                              \
        if (!real)                                                  \
            real = (type(*) parameters)dlsym(RTLD_NEXT, #name);     \
        FAIL(call);                                                 \
        return real arguments;                                      \
    }

WRAP(int, accept4, accept4, (int fd, struct sockaddr *to, socklen_t *size, int flags), (fd, to, size, flags))
WRAP(int, accept, accept4, (int fd, struct sockaddr *to, socklen_t *size), (fd, to, size))
WRAP(ssize_t, recv, recv, (int fd, void *to, size_t size, int flags), (fd, to, size, flags))
WRAP(ssize_t, recvfrom, recvfrom,
     (int fd, void *to, size_t size, int flags, struct sockaddr *from, socklen_t *length),
     (fd, to, size, flags, from, length))
WRAP(ssize_t, recvmsg, recvmsg, (int fd, struct msghdr *to, int flags), (fd, to, flags))
WRAP(ssize_t, send, send, (int fd, const void *from, size_t size, int flags), (fd, from, size, flags))
WRAP(ssize_t, sendto, sendto,
     (int fd, const void *from, size_t size, int flags, const struct sockaddr *to, socklen_t length),
     (fd, from, size, flags, to, length))
WRAP(ssize_t, sendmsg, sendmsg, (int fd, const struct msghdr *from, int flags), (fd, from, flags))
WRAP(ssize_t, read, read, (int fd, void *to, size_t size), (fd, to, size))
WRAP(ssize_t, readv, read, (int fd, const struct iovec *to, int count), (fd, to, count))
WRAP(ssize_t, write, write, (int fd, const void *from, size_t size), (fd, from, size))
WRAP(ssize_t, writev, write, (int fd, const struct iovec *from, int count), (fd, from, count))
WRAP(int, epoll_wait, epoll_wait, (int fd, struct epoll_event *to, int most, int wait), (fd, to, most, wait))
WRAP(int, epoll_pwait, epoll_wait, (int fd, struct epoll_event *to, int most, int wait, const sigset_t *mask),
     (fd, to, most, wait, mask))
WRAP(int, epoll_create1, epoll_create1, (int flags), (flags))
WRAP(int, poll, poll, (struct pollfd * fds, nfds_t count, int wait), (fds, count, wait))
WRAP(int, socket, socket, (int family, int kind, int protocol), (family, kind, protocol))
WRAP(int, socketpair, socketpair, (int family, int kind, int protocol, int to[2]), (family, kind, protocol, to))
WRAP(int, bind, bind, (int fd, const struct sockaddr *name, socklen_t length), (fd, name, length))
WRAP(int, listen, listen, (int fd, int backlog), (fd, backlog))
WRAP(int, shutdown, shutdown, (int fd, int how), (fd, how))
WRAP(int, getsockopt, getsockopt, (int fd, int level, int name, void *to, socklen_t *size), (fd, level, name, to, size))
WRAP(int, setsockopt, setsockopt, (int fd, int level, int name, const void *from, socklen_t size),
     (fd, level, name, from, size))
WRAP(int, getsockname, getsockname, (int fd, struct sockaddr *to, socklen_t *size), (fd, to, size))
WRAP(int, getpeername, getpeername, (int fd, struct sockaddr *to, socklen_t *size), (fd, to, size))
WRAP(int, fstat, fstat, (int fd, struct stat * to), (fd, to))
WRAP(int, fstat64, fstat, (int fd, struct stat64 * to), (fd, to))
WRAP(int, stat, stat, (const char *path, struct stat *to), (path, to))
WRAP(int, stat64, stat, (const char *path, struct stat64 *to), (path, to))
WRAP(int, lstat64, stat, (const char *path, struct stat64 *to), (path, to))
WRAP(int, fstatat64, stat, (int at, const char *path, struct stat64 *to, int flags), (at, path, to, flags))
WRAP(int, eventfd, eventfd, (unsigned int value, int flags), (value, flags))
WRAP(int, pipe, pipe2, (int to[2]), (to))
WRAP(int, pipe2, pipe2, (int to[2], int flags), (to, flags))
WRAP(int, dup, dup, (int fd), (fd))
WRAP(int, dup2, dup, (int fd, int number), (fd, number))
WRAP(int, dup3, dup, (int fd, int number, int flags), (fd, number, flags))
WRAP(pid_t, fork, fork, (void), ())
WRAP(pid_t, waitpid, waitpid, (pid_t pid, int *status, int options), (pid, status, options))
WRAP(pid_t, wait4, waitpid, (pid_t pid, int *status, int options, struct rusage *used), (pid, status, options, used))
WRAP(int, kill, kill, (pid_t pid, int number), (pid, number))
WRAP(int, unlink, unlink, (const char *path), (path))
WRAP(int, flock, flock, (int fd, int what), (fd, what))
WRAP(int, openpty, openpty,
     (int *ours, int *theirs, char *name, const struct termios *how, const struct winsize *size),
     (ours, theirs, name, how, size))

/* To watch something takes memory; to watch it for something else, or no longer, takes nothing that could be wanting. */
int epoll_ctl(int fd, int what, int about, struct epoll_event *event) {
    REAL(int, epoll_ctl, int, int, int, struct epoll_event *);
    if (what == EPOLL_CTL_ADD)
        FAIL(epoll_ctl);
    return real(fd, what, about, event);
}

/* A function that returns twice cannot be called by another that returns: fork() does for it. */
pid_t vfork(void) {
    REAL(pid_t, fork, void);
    FAIL(fork);
    return real();
}

/* What it was asked for has begun when a signal interrupts it. */
int connect(int fd, const struct sockaddr *name, socklen_t length) {
    REAL(int, connect, int, const struct sockaddr *, socklen_t);
    int error = fails(CALL_connect, CALLER);
    if (error && error != EINTR) {
        errno = error;
        return -1;
    }
    int result = real(fd, name, length);
    if (error && (!result || errno == EINPROGRESS)) {
        errno = error;
        return -1;
    }
    return result;
}

/* Linux has always closed it, whatever it says. */
int close(int fd) {
    REAL(int, close, int);
    int error = fails(CALL_close, CALLER), result = real(fd);
    if (error && !result) {
        errno = error;
        return -1;
    }
    return result;
}

#define OPENING(name, type, first, parameter)                       \
    type name(first parameter, int flags, ...) {                    \
        REAL(type, name, first, int, mode_t);                       \
        va_list rest;                                               \
        va_start(rest, flags);                                      \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
        va_end(rest);                                               \
        FAIL(open);                                                 \
        return real(parameter, flags, mode);                        \
    }

OPENING(open, int, const char *, path)
OPENING(open64, int, const char *, path)

int openat64(int at, const char *path, int flags, ...) {
    REAL(int, openat64, int, const char *, int, mode_t);
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    FAIL(open);
    return real(at, path, flags, mode);
}

#define FOPEN(name)                                                 \
    FILE *name(const char *path, const char *mode) {                \
        REAL(FILE *, name, const char *, const char *);             \
        int error = fails(CALL_fopen, CALLER);                      \
        if (error) {                                                \
            errno = error;                                          \
            return NULL;                                            \
        }                                                           \
        return real(path, mode);                                    \
    }

FOPEN(fopen)
FOPEN(fopen64)

#define CONTROL(name, call, kind)                                   \
    int name(int fd, kind what, ...) {                              \
        REAL(int, name, int, kind, void *);                         \
        va_list rest;                                               \
        va_start(rest, what);                                       \
        void *argument = va_arg(rest, void *);                      \
        va_end(rest);                                               \
        FAIL(call);                                                 \
        return real(fd, what, argument);                            \
    }

CONTROL(fcntl, fcntl, int)
CONTROL(fcntl64, fcntl, int)
CONTROL(ioctl, ioctl, unsigned long)

long syscall(long number, ...) {
    REAL(long, syscall, long, long, long, long, long, long, long);
    long arguments[6];
    va_list rest;
    va_start(rest, number);
    for (int each = 0; each < 6; each++)
        arguments[each] = va_arg(rest, long);
    va_end(rest);
    if (number == SYS_pidfd_open)
        FAIL(pidfd_open);
    return real(number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], arguments[5]);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *how, void *(*run)(void *), void *argument) {
    REAL(int, pthread_create, pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    int error = fails(CALL_pthread_create, CALLER);
    return error ? error : real(thread, how, run, argument);
}

/* What it fails with is a number of its own, so `error` is one of these. */
int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
    REAL(int, getaddrinfo, const char *, const char *, const struct addrinfo *, struct addrinfo **);
    int error = fails(CALL_getaddrinfo, CALLER);
    if (error == EAGAIN)
        return EAI_AGAIN;
    if (error == ENOMEM)
        return EAI_MEMORY;
    if (error) {
        errno = error;
        return EAI_SYSTEM;
    }
    return real(name, service, hints, found);
}
