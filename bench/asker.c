/* A client that asks a server over HTTP/1.1, and costs less than any server that it asks.
 *
 *     cc -O2 -o asker asker.c && ./asker PORT CONNECTIONS PIPELINE COUNT LENGTH BODY < requests
 *
 * Standard input holds requests of LENGTH bytes each, which are sent in turn, again and again. Each connection sends
 * PIPELINE of them in one write, waits for all answers, and sends the next ones, until COUNT requests were sent in all.
 * COUNT is a multiple of CONNECTIONS times PIPELINE; the number of requests on standard input one of PIPELINE.
 *
 * Each answer must have the status 200 and the body BODY, of a given length or in chunks, and nothing may follow the
 * last one. The output is the duration in seconds, or a complaint, with the exit code 1.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { ROOM = 65536, EVENTS = 512, PATIENCE = 20000 };

struct connection {
    int fd;
    long batches;       /* that are still to be sent */
    int waiting;        /* answers that are still to come */
    size_t used;
    char data[ROOM];
};

static char *requests;
static size_t length, total, turn;
static long left;
static int pipeline;
static const char *body;
static size_t bodyLength;

static void fail(const char *what, const char *data, size_t size)
{
    printf("%s: %.*s\n", what, (int)(size < 300 ? size : 300), data);
    exit(1);
}

static void readRequests(void)
{
    size_t room = 1 << 16, got;
    requests = malloc(room);
    while ((got = fread(requests + total, 1, room - total, stdin)) > 0) {
        total += got;
        if (total == room)
            requests = realloc(requests, room *= 2);
    }
    if (!length || !total || total % (length * pipeline))
        fail("the requests have another length", "", 0);
}

static void sendBatch(struct connection *one)
{
    size_t size = length * pipeline, sent = 0;
    while (sent < size) {
        ssize_t now = send(one->fd, requests + turn + sent, size - sent, MSG_NOSIGNAL);
        if (now < 0)
            fail("send", strerror(errno), 100);
        sent += now;
    }
    turn = (turn + size) % total;
    one->batches--;
    one->waiting = pipeline;
}

/* The value of a field of a head, or NULL. */
static const char *valueOf(const char *head, const char *end, const char *name)
{
    size_t size = strlen(name);
    for (const char *line = head; line < end; line++) {
        line = memchr(line, '\n', end - line);
        if (!line)
            break;
        if ((size_t)(end - line) > size + 1 && !strncasecmp(line + 1, name, size) && line[1 + size] == ':') {
            line += size + 2;
            while (*line == ' ')
                line++;
            return line;
        }
    }
    return NULL;
}

/* The bytes of a body in chunks, once it is whole; 0 before. */
static size_t chunked(const char *data, size_t size)
{
    size_t at = 0, got = 0;
    while (at < size) {
        const char *line = memmem(data + at, size - at, "\r\n", 2);
        if (!line)
            return 0;
        size_t chunk = strtoul(data + at, NULL, 16);
        at = line + 2 - data;
        if (at + chunk + 2 > size)
            return 0;
        if (got + chunk > bodyLength || memcmp(data + at, body + got, chunk))
            fail("a wrong body", data, size);
        got += chunk;
        if (memcmp(data + at + chunk, "\r\n", 2))
            fail("a wrong chunk", data, size);
        at += chunk + 2;
        if (!chunk) {
            if (got != bodyLength)
                fail("a short body", data, size);
            return at;
        }
    }
    return 0;
}

/* The bytes of the answer at the beginning of `data`, once it is whole; 0 before. */
static size_t answer(const char *data, size_t size)
{
    const char *end = memmem(data, size, "\r\n\r\n", 4);
    if (!end)
        return 0;
    if (strncmp(data, "HTTP/1.1 200 ", 13))
        fail("a wrong status", data, size);
    size_t head = end + 4 - data;
    const char *value = valueOf(data, end, "content-length");
    if (!value) {
        value = valueOf(data, end, "transfer-encoding");
        if (!value || strncasecmp(value, "chunked\r\n", 9))
            fail("an answer without a length", data, size);
        size_t rest = chunked(end + 4, size - head);
        return rest ? head + rest : 0;
    }
    if (strtoul(value, NULL, 10) != bodyLength)
        fail("a wrong length", data, size);
    if (head + bodyLength > size)
        return 0;
    if (memcmp(end + 4, body, bodyLength))
        fail("a wrong body", data, size);
    return head + bodyLength;
}

static void serve(struct connection *one)
{
    ssize_t got = recv(one->fd, one->data + one->used, ROOM - 1 - one->used, 0);
    if (got <= 0)
        fail("the server has closed", got < 0 ? strerror(errno) : "", got < 0 ? 100 : 0);
    one->used += got;
    one->data[one->used] = 0;
    size_t begin = 0, size;
    while (one->waiting && (size = answer(one->data + begin, one->used - begin)) > 0) {
        begin += size;
        one->waiting--;
        left--;
    }
    memmove(one->data, one->data + begin, one->used - begin);
    one->used -= begin;
    if (one->waiting) {
        if (one->used == ROOM - 1)
            fail("too long an answer", one->data, one->used);
        return;
    }
    if (one->used)
        fail("more than was asked for", one->data, one->used);
    if (one->batches)
        sendBatch(one);
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    if (argc != 7)
        fail("six arguments, please", "", 0);
    int connections = atoi(argv[2]), poller = epoll_create1(0), on = 1;
    pipeline = atoi(argv[3]);
    left = atol(argv[4]);
    length = atol(argv[5]);
    body = argv[6];
    bodyLength = strlen(body);
    if (connections < 1 || pipeline < 1 || left < 1 || left % (connections * pipeline))
        fail("a count that cannot be shared out", argv[4], strlen(argv[4]));
    readRequests();
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    struct connection *all = calloc(connections, sizeof *all);
    for (int each = 0; each < connections; each++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = all + each};
        all[each].fd = socket(AF_INET, SOCK_STREAM, 0);
        all[each].batches = left / (connections * pipeline);
        setsockopt(all[each].fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (connect(all[each].fd, (struct sockaddr *)&address, sizeof address))
            fail("connect", strerror(errno), 100);
        epoll_ctl(poller, EPOLL_CTL_ADD, all[each].fd, &event);
    }
    double begun = now();
    for (int each = 0; each < connections; each++)
        sendBatch(all + each);
    while (left) {
        struct epoll_event events[EVENTS];
        int ready = epoll_wait(poller, events, EVENTS, PATIENCE);
        if (ready == 0)
            fail("no answer for 20 s", "", 0);
        for (int each = 0; each < ready; each++)
            serve(events[each].data.ptr);
    }
    printf("%.6f\n", now() - begun);
    return 0;
}
