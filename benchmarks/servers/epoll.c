/* The least that a server in C can do: an epoll loop that writes one job's events to all streams.
 *
 *   epoll PORT [join]
 *
 * Each event goes to each stream by a write of its own; with `join`, all that are due leave in one.
 * It speaks HTTP as far as the load client needs it, and answers GET /start?rate=R&seconds=S as the
 * other servers do. The log of events is one run of bytes; a stream is an offset into it.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 1 << 17, FRAME = 512 };  /* descriptors; the bytes of a frame at most */

typedef struct {
    size_t at;            /* how much of the log has been written */
    long event;           /* which `at` is in, unless they are joined */
    bool waiting;         /* until the socket is writable again */
    int position;         /* in `streams` */
} Stream;

static Stream of[MOST];
static int streams[MOST], count, epoll_fd, joined;
static char *log_bytes;
static size_t length, *ends;          /* of the log, and of each event in it */
static long published, last;
static double rate, start;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void fail(const char *what) {
    fprintf(stderr, "epoll: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void watch(int fd, int events, int how) {
    struct epoll_event e = {.events = events, .data.fd = fd};
    if (epoll_ctl(epoll_fd, how, fd, &e)) fail("epoll_ctl");
}

static void say(int fd, const char *text) {
    if (write(fd, text, strlen(text)) < 0) perror("epoll: write");
}

static void leave(int fd) {
    int position = of[fd].position;
    if (position < count && streams[position] == fd) {
        streams[position] = streams[--count];
        of[streams[position]].position = position;
    }
    close(fd);
}

/* Write what a stream lacks, until its socket is full. */
static void advance(int fd) {
    Stream *s = &of[fd];
    while (s->at < length) {
        size_t end = joined ? length : ends[s->event];
        ssize_t sent = send(fd, log_bytes + s->at, end - s->at, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN) return;  /* its end is read */
        bool full = sent < 0 || (s->at += sent) < end;
        s->event += !full;
        if (full != s->waiting) watch(fd, EPOLLIN | (full ? EPOLLOUT : 0), EPOLL_CTL_MOD);
        s->waiting = full;
        if (full) return;
    }
}

static double due(long number) { return start + (number - 1) / rate; }

static void publish(void) {
    char data[FRAME];
    long number = published + 1;
    int size = snprintf(
        data, FRAME,
        "event: progress\ndata: {\"job_id\":\"job-0\",\"status\":\"running\",\"stage\":\"importing\","
        "\"progress\":50,\"message\":\"@%.0f,%ld,%ld@\",\"details\":{},\"eta\":null,"
        "\"started_at\":\"2026-01-01T00:00:00.000Z\",\"updated_at\":\"2026-01-01T00:00:00.000Z\"}\n\n",
        due(number) * 1e6, number, last);
    length += sprintf(log_bytes + length, "%x\r\n%s\r\n", size, data);
    ends[published++] = length;
}

static void on_request(int fd, char *text) {
    double seconds;
    if (sscanf(text, "GET /start?rate=%lf&seconds=%lf", &rate, &seconds) == 2) {
        last = rate * seconds + 0.5;
        start = now() + 0.2;
        log_bytes = malloc(last * FRAME);
        ends = malloc(last * sizeof *ends);
        if (!log_bytes || !ends) fail("malloc");
        say(fd, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
        leave(fd);
        return;
    }
    say(fd, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
            "Transfer-Encoding: chunked\r\n\r\n6\r\n: ok\n\n\r\n");
    of[fd] = (Stream){.at = length, .event = published, .position = count};
    streams[count++] = fd;
}

int main(int argc, char **args) {
    if (argc < 2) { fprintf(stderr, "epoll PORT [join]\n"); return 2; }
    joined = argc > 2;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(atoi(args[1]))};
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (bind(listener, (struct sockaddr *)&here, sizeof here) || listen(listener, 4096)) fail("bind");
    epoll_fd = epoll_create1(0);
    watch(listener, EPOLLIN, EPOLL_CTL_ADD);
    for (;;) {
        double wait = published < last ? due(published + 1) - now() : 1;
        struct timespec left = {.tv_sec = wait > 0 ? (time_t)wait : 0};
        left.tv_nsec = wait > 0 ? (wait - left.tv_sec) * 1e9 : 0;
        struct epoll_event found[256];
        int ready = epoll_pwait2(epoll_fd, found, 256, &left, NULL);
        for (int i = 0; i < ready; i++) {
            int fd = found[i].data.fd;
            char text[4096];
            if (fd == listener) {
                while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                    if (fd >= MOST) { errno = EMFILE; fail("accept"); }
                    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
                    of[fd].position = MOST;
                    watch(fd, EPOLLIN, EPOLL_CTL_ADD);
                }
                continue;
            }
            if (found[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
                ssize_t got = read(fd, text, sizeof text - 1);
                if (got > 0) {
                    text[got] = 0;
                    on_request(fd, text);
                    continue;
                }
                if (got == 0 || errno != EAGAIN) {
                    leave(fd);
                    continue;
                }
            }
            advance(fd);
        }
        double t = now();
        for (bool grown = false; published < last && due(published + 1) <= t; grown = true) {
            publish();
            if (joined) continue;
            for (int i = 0; i < count; i++)
                if (!of[streams[i]].waiting) advance(streams[i]);
            if (grown) break;  /* look at the sockets now and then, when late */
        }
        for (int i = 0; joined && i < count; i++)
            if (!of[streams[i]].waiting) advance(streams[i]);
    }
}
