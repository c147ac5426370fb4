/* A line server with as little as one can have: epoll, one read an event, one write for all answers of a read, and
 * nothing that a server in earnest needs: no limit on anything, no deadline, no check. What the kernel and the copying of
 * bytes cost, and so the floor for everybody else.
 *
 *     cc -O2 -o floor floor.c && ./floor PROCESSES JOB:PORT ...
 *
 * Jobs: pong, echo, count, sink, source; servers/common.py says what they are.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ = 65536, BLOCK = 65536, HEADER = 16, EVENTS = 512, BACKLOG = 4096 };

struct peer {
    int fd, listening, writing;
    char job;               /* p, e, c, s (sink) or b (source: blocks) */
    char *rest;             /* the unfinished line */
    size_t restLength;
    char *output;           /* what the peer has not taken */
    size_t outputLength;
    long long lines, bytes, wanted;
};

static int poller, several;     /* several processes share each port */
static char input[READ * 2], answers[READ * 4], block[BLOCK];

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void drop(struct peer *peer)
{
    close(peer->fd);
    free(peer->rest);
    free(peer->output);
    free(peer);
}

static void watch(struct peer *peer, int writing)
{
    if (peer->writing == writing)
        return;
    struct epoll_event event = { .events = EPOLLIN | (writing ? EPOLLOUT : 0), .data.ptr = peer };
    peer->writing = writing;
    epoll_ctl(poller, EPOLL_CTL_MOD, peer->fd, &event);
}

/* Sends, and keeps what the kernel does not take. */
static void put(struct peer *peer, const char *data, size_t length)
{
    ssize_t sent = peer->outputLength ? 0 : send(peer->fd, data, length, MSG_NOSIGNAL);
    if (sent < 0)
        sent = 0;
    if ((size_t)sent == length)
        return;
    peer->output = realloc(peer->output, peer->outputLength + length - sent);
    memcpy(peer->output + peer->outputLength, data + sent, length - sent);
    peer->outputLength += length - sent;
    watch(peer, 1);
}

static void blocks(struct peer *peer)
{
    while (peer->wanted) {
        size_t length = peer->wanted < BLOCK ? peer->wanted : BLOCK;
        /* The stream is one block over and over, so where a short write ended tells where to go on. */
        size_t begin = peer->bytes % BLOCK;
        if (length > BLOCK - begin)
            length = BLOCK - begin;
        ssize_t sent = send(peer->fd, block + begin, length, MSG_NOSIGNAL);
        if (sent < 0) {
            watch(peer, 1);
            return;
        }
        peer->wanted -= sent;
        peer->bytes += sent;
    }
    watch(peer, 0);
    shutdown(peer->fd, SHUT_WR);
}

static void flush(struct peer *peer)
{
    if (peer->job == 'b') {
        blocks(peer);
        return;
    }
    ssize_t sent = send(peer->fd, peer->output, peer->outputLength, MSG_NOSIGNAL);
    if (sent < 0)
        return;
    peer->outputLength -= sent;
    memmove(peer->output, peer->output + sent, peer->outputLength);
    if (!peer->outputLength)
        watch(peer, 0);
}

static size_t line(struct peer *peer, const char *text, size_t length, size_t answered)
{
    if (peer->job == 'p') {
        memcpy(answers + answered, "+PONG\r\n", 7);
        return answered + 7;
    }
    if (peer->job == 'e') {
        memcpy(answers + answered, text, length + 2);
        return answered + length + 2;
    }
    peer->lines++;
    peer->bytes += length;
    if (peer->job == 'b') {
        peer->wanted = strtoll(text, NULL, 10);
        peer->bytes = 0;
        blocks(peer);
    }
    return answered;
}

static void lines(struct peer *peer, char *data, size_t length)
{
    size_t answered = 0;
    char *end = data + length, *found;
    while ((found = memmem(data, end - data, "\r\n", 2)) != NULL) {
        answered = line(peer, data, found - data, answered);
        data = found + 2;
    }
    peer->restLength = end - data;
    if (peer->restLength) {
        peer->rest = realloc(peer->rest, peer->restLength);
        memcpy(peer->rest, data, peer->restLength);
    }
    if (answered)
        put(peer, answers, answered);
}

static void say(struct peer *peer)
{
    char text[80];
    int length = peer->job == 'c'
        ? snprintf(text, sizeof text, "%lld lines %lld bytes\r\n", peer->lines, peer->bytes)
        : snprintf(text, sizeof text, "%lld bytes\r\n", peer->bytes);
    put(peer, text, length);
}

static void readable(struct peer *peer)
{
    size_t kept = peer->restLength < READ ? peer->restLength : 0;
    if (kept)
        memcpy(input, peer->rest, kept);
    ssize_t got = recv(peer->fd, input + kept, READ, 0);
    if (got < 0 && errno == EAGAIN)
        return;
    if (got <= 0) {
        if (got == 0 && peer->job == 'c')
            say(peer);
        drop(peer);
        return;
    }
    if (peer->job != 's') {
        lines(peer, input, kept + got);
        return;
    }
    if (!peer->wanted)
        peer->wanted = strtoll(input, NULL, 10);
    peer->bytes += got;
    if (peer->bytes >= peer->wanted)
        say(peer);
}

static void add(int fd, int listening, char job)
{
    struct peer *peer = calloc(1, sizeof *peer);
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = peer };
    peer->fd = fd;
    peer->listening = listening;
    peer->job = job;
    if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event))
        die("epoll_ctl");
}

static void acceptAll(struct peer *port)
{
    int fd, on = 1;
    while ((fd = accept4(port->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        add(fd, 0, port->job);
    }
}

static void listenOn(const char *argument)
{
    const char *port = strchr(argument, ':');
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    if (!port)
        die("JOB:PORT");
    address.sin_port = htons(atoi(port + 1));
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (several && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on))
        die("SO_REUSEPORT");
    if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, BACKLOG))
        die(argument);
    add(fd, 1, !strncmp(argument, "source", 6) ? 'b' : argument[0]);
}

int main(int count, char **arguments)
{
    struct epoll_event events[EVENTS];
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    for (int i = 0; i < BLOCK; i++)
        block[i] = (char)i;
    int processes = count > 1 ? atoi(arguments[1]) : 1;
    several = processes > 1;
    for (int i = 1; i < processes && fork(); i++)
        ;
    poller = epoll_create1(EPOLL_CLOEXEC);
    for (int i = 2; i < count; i++)
        listenOn(arguments[i]);
    for (;;) {
        int ready = epoll_wait(poller, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            struct peer *peer = events[i].data.ptr;
            if (peer->listening) {
                acceptAll(peer);
                continue;
            }
            if (events[i].events & EPOLLOUT)
                flush(peer);
            if (events[i].events & ~EPOLLOUT)
                readable(peer);
        }
    }
}
