/* The load client: many event streams in one thread, every event checked and timed.
 *
 *   client PORT PATH STREAMS SECONDS [name=value ...]
 *
 *   jobs=N        stream i asks for PATH with its `%d` replaced by i mod N
 *   window=N      connections that may be under way at a time (64)
 *   churn=N       cut and resume N streams a second, with Last-Event-ID
 *   slow=N        the last N streams read at most slow_rate bytes a second (1024); not judged
 *   accept=TEXT   the Accept header
 *
 * It opens the streams and prints a line of JSON when all have had their first byte. For each line
 * that it then reads on its standard input it counts for SECONDS, or until every stream has had its
 * job's last event, and prints another. It ends with its input.
 *
 * Streams are parsed as HTTP/1.1 (RFC 9112: chunked, or until the connection closes) and as event
 * streams (WHATWG HTML, section 9.2.6; a line ends with LF or CR LF). An event is a frame whose data
 * holds "@<due>,<number>,<last>@": the time at which it was due (microseconds, CLOCK_MONOTONIC),
 * its number within its job, from 1 on, and the number of the job's last. It counts when its frame
 * is whole. A number that is skipped is a gap, one that comes again a duplicate. Frames whose event
 * is "status" repeat an event, and are not counted; nor is data without "@".
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { HEAD, SIZE, EXTENSION, DATA, DATA_END, RAW };  /* where the HTTP parser is */
enum { BUFFER = 1 << 18, LINE = 1 << 14, SUB = 64, BUCKETS = 64 * SUB };

typedef struct {
    int fd, state, kept;        /* kept: bytes of an unfinished line, or of the head */
    long left;                  /* of the chunk */
    char *line;
    long expected;              /* the number of the next event */
    bool open, slow;
    double read_after;
    char id[80];                /* the last event id, as of the last whole frame */
    bool status, marked;        /* of the frame that is being read: so is what follows */
    long due, number, last;
    char frame_id[80];
} Stream;

static char buffer[BUFFER], path[512], accept_header[128] = "text/event-stream";
static int port, epoll_fd, streams, jobs = 1, window = 64, slow, slow_rate = 1024;
static Stream *all;
static long opened, under_way, next_to_open, refused, cut, events, gaps, duplicates, others, bytes;
static long finished, resumed, last_number, histogram[BUCKETS], counting, first_due = LONG_MAX;
static double latest, arrived, churn;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void fail(const char *what) {
    fprintf(stderr, "client: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* Buckets of 1 us up to 64 us, then 32 to each doubling. */
static int bucket_of(long us) {
    if (us < SUB) return us < 0 ? 0 : us;
    int shift = 58 - __builtin_clzl(us);  /* us >> shift is 32 to 63 */
    int bucket = shift * 32 + (us >> shift);
    return bucket < BUCKETS ? bucket : BUCKETS - 1;
}

static double bucket_middle(int bucket) {
    if (bucket < SUB) return bucket + 0.5;
    int shift = bucket / 32 - 1;
    return (bucket - shift * 32 + 0.5) * (1L << shift);
}

static double percentile(double share) {
    long total = 0, seen = 0;
    for (int i = 0; i < BUCKETS; i++) total += histogram[i];
    for (int i = 0; i < BUCKETS; i++)
        if ((seen += histogram[i]) > 0 && seen >= share * total) return bucket_middle(i) / 1e3;
    return 0;
}

static void connect_stream(Stream *s) {
    int index = s - all;
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (s->fd < 0) fail("socket");
    if (s->slow) setsockopt(s->fd, SOL_SOCKET, SO_RCVBUF, &(int){4096}, sizeof(int));
    /* A stream that is cut by this side would leave its port in TIME_WAIT. */
    setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(s->fd, (struct sockaddr *)&to, sizeof to) && errno != EINPROGRESS) fail("connect");
    s->state = HEAD;
    s->kept = 0;
    s->open = s->status = s->marked = false;
    s->frame_id[0] = 0;
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT, .data.u32 = index};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, s->fd, &e)) fail("epoll_ctl");
    under_way++;
}

static void drop(Stream *s) {
    if (s->fd < 0) return;
    if (!s->open) under_way--;
    close(s->fd);
    s->fd = -1;
}

static void request(Stream *s) {
    char target[640], text[1200];
    snprintf(target, sizeof target, path, (int)((s - all) % jobs));
    int length = snprintf(text, sizeof text,
                          "GET %s HTTP/1.1\r\nHost: localhost\r\nAccept: %s\r\n%s%s%s\r\n", target,
                          accept_header, s->id[0] ? "Last-Event-ID: " : "", s->id,
                          s->id[0] ? "\r\n" : "");
    if (write(s->fd, text, length) != length) {  /* refused, or reset */
        drop(s);
        if (!cut++) fprintf(stderr, "client: a request was refused: %s\n", strerror(errno));
        return;
    }
    struct epoll_event e = {.events = EPOLLIN, .data.u32 = s - all};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, s->fd, &e)) fail("epoll_ctl");
}

/* Take note of an event's mark, if the data has one. */
static void on_data(Stream *s, const char *text, int length) {
    const char *at = memchr(text, '@', length);
    if (!at) return;
    char *end;
    s->due = strtol(at + 1, &end, 10);
    if (*end != ',') return;
    s->number = strtol(end + 1, &end, 10);
    if (*end != ',') return;
    s->last = strtol(end + 1, &end, 10);
    s->marked = *end == '@';
}

static void on_event(Stream *s) {
    last_number = s->last;
    if (!counting || s->slow) return;
    events++;
    if (s->number < s->expected) {
        duplicates++;
        return;
    }
    gaps += s->number - s->expected;
    s->expected = s->number + 1;
    finished += s->number == s->last;
    histogram[bucket_of((long)(arrived * 1e6) - s->due)]++;
    if (s->due < first_due) first_due = s->due;
    latest = arrived;
}

/* Take a line without its end; text[length] is a byte that ends any number. */
static void on_line(Stream *s, const char *text, int length) {
    if (length && text[length - 1] == '\r') length--;
    if (!length) {  /* the frame is whole */
        if (s->frame_id[0]) memcpy(s->id, s->frame_id, sizeof s->id);
        if (s->marked && !s->status) on_event(s);
        s->status = s->marked = false;
        return;
    }
    const char *colon = memchr(text, ':', length);
    int name = colon ? colon - text : length, skip = name + (colon != NULL);
    if (skip < length && text[skip] == ' ') skip++;
    const char *value = text + skip;
    length -= skip;
    if (name == 4 && !memcmp(text, "data", 4)) {
        on_data(s, value, length);
    } else if (name == 5 && !memcmp(text, "event", 5)) {
        s->status = length == 6 && !memcmp(value, "status", 6);
    } else if (name == 2 && !memcmp(text, "id", 2) && length < (int)sizeof s->frame_id) {
        memcpy(s->frame_id, value, length);
        s->frame_id[length] = 0;
    }
}

static void keep(Stream *s, const char *text, int length) {
    if (!s->line && !(s->line = malloc(LINE))) fail("malloc");
    if (s->kept + length >= LINE) { errno = EMSGSIZE; fail("a line"); }
    memcpy(s->line + s->kept, text, length);
    s->kept += length;
}

static void on_body(Stream *s, const char *text, int length) {
    bytes += length;
    if (!s->open) {
        s->open = true;
        opened++;
        under_way--;
    }
    while (length) {
        const char *end = memchr(text, '\n', length);
        if (!end) {
            keep(s, text, length);
            return;
        }
        int taken = end - text;
        if (s->kept) {
            keep(s, text, taken);
            s->line[s->kept] = '\n';
            on_line(s, s->line, s->kept);
            s->kept = 0;
        } else {
            on_line(s, text, taken);
        }
        text += taken + 1;
        length -= taken + 1;
    }
}

/* Take the status line and the headers off; return how many bytes of `text` they took. */
static int on_head(Stream *s, const char *text, int length) {
    int before = s->kept, room = LINE - 1 - before;
    keep(s, text, length < room ? length : room);
    char *end = memmem(s->line, s->kept, "\r\n\r\n", 4);
    if (!end && length > room) { errno = EMSGSIZE; fail("a response's head"); }
    if (!end) return length;
    *end = 0;
    int taken = end + 4 - (s->line + before);
    if (strncmp(s->line, "HTTP/1.1 200", 12)) {
        if (!refused++) fprintf(stderr, "client: %s\n", s->line);
    }
    s->state = strcasestr(s->line, "\r\ntransfer-encoding: chunked") ? SIZE : RAW;
    s->kept = 0;
    s->left = 0;
    return taken;
}

/* A stream is over: its job has ended, or it was cut off. */
static void on_end(Stream *s) {
    drop(s);
    if (last_number && s->expected > last_number) return;
    if (!cut++) fprintf(stderr, "client: a stream was cut\n");
}

static void on_bytes(Stream *s, const char *text, int length) {
    while (length && s->fd >= 0) {
        int taken = 1;
        char c = *text | 0x20;  /* in lower case, if it is a letter */
        switch (s->state) {
        case HEAD:
            taken = on_head(s, text, length);
            break;
        case RAW:
            taken = length;
            on_body(s, text, taken);
            break;
        case SIZE:
            if (c >= '0' && c <= '9') s->left = s->left * 16 + c - '0';
            else if (c >= 'a' && c <= 'f') s->left = s->left * 16 + c - 'a' + 10;
            else s->state = EXTENSION;
            if (s->state == SIZE) break;
            /* fall through */
        case EXTENSION:
            if (*text != '\n') break;
            if (s->left) s->state = DATA;
            else on_end(s);  /* the last chunk is empty */
            break;
        case DATA:
            taken = length < s->left ? length : s->left;
            on_body(s, text, taken);
            if (!(s->left -= taken)) s->state = DATA_END;
            break;
        case DATA_END:
            if (*text == '\n') s->state = SIZE;
        }
        text += taken;
        length -= taken;
    }
}

static void on_ready(struct epoll_event *e) {
    Stream *s = &all[e->data.u32];
    if (s->fd < 0) return;
    if (e->events & EPOLLOUT) {
        request(s);
        return;
    }
    if (s->slow && s->open && now() < s->read_after) {  /* look again later */
        struct epoll_event none = {.events = 0, .data.u32 = s - all};
        epoll_ctl(epoll_fd, EPOLL_CTL_MOD, s->fd, &none);
        return;
    }
    ssize_t got = read(s->fd, buffer, s->slow && s->open ? slow_rate : BUFFER - 1);
    if (got > 0) {
        arrived = now();
        on_bytes(s, buffer, got);
        if (s->slow) s->read_after = now() + (double)got / slow_rate;
    } else if (got == 0 || errno != EAGAIN) {
        on_end(s);
    }
}

static void poll_for(double seconds) {
    struct epoll_event found[512];
    int count = epoll_wait(epoll_fd, found, 512, seconds > 0 ? (int)(seconds * 1e3) + 1 : 0);
    for (int i = 0; i < count; i++) on_ready(&found[i]);
}

static double cpu(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

/* Open all streams, within a minute. */
static void open_all(void) {
    double start = now(), give_up = start + 60;
    while (opened < streams && now() < give_up) {
        while (next_to_open < streams && under_way < window) connect_stream(&all[next_to_open++]);
        poll_for(0.1);
    }
    printf("{\"opened\":%ld,\"seconds\":%.4f,\"refused\":%ld,\"cut\":%ld}\n", opened, now() - start,
           refused, cut);
    fflush(stdout);
}

/* Read on until there is a line on the standard input; tell whether there is. */
static bool asked(void) {
    char line[16];
    ssize_t got;
    while ((got = read(0, line, sizeof line)) < 0 && errno == EAGAIN) poll_for(0.02);
    return got > 0;
}

/* Count what comes, from the first event of each job on. */
static void count_for(double seconds) {
    static int next_cut;
    events = gaps = duplicates = others = bytes = finished = resumed = last_number = 0;
    memset(histogram, 0, sizeof histogram);
    first_due = LONG_MAX;
    for (int i = 0; i < streams; i++) all[i].expected = 1;
    counting = 1;
    double begun = now(), end = begun + seconds, next_churn = begun, next_look = begun;
    double before = cpu();
    int good = streams - slow;
    while (now() < end && finished < good) {
        poll_for(slow || churn ? 0.005 : 0.1);
        for (; churn && now() >= next_churn; next_churn += 1 / churn) {
            Stream *s = &all[next_cut++ % streams];
            if (s->fd < 0 || !s->open) continue;
            drop(s);
            opened--;
            resumed++;
            connect_stream(s);
        }
        for (double t = now(); slow && t >= next_look; next_look = t + 0.1)
            for (int i = good; i < streams; i++) {
                struct epoll_event e = {.events = EPOLLIN, .data.u32 = i};
                if (all[i].fd >= 0 && all[i].open && t >= all[i].read_after)
                    epoll_ctl(epoll_fd, EPOLL_CTL_MOD, all[i].fd, &e);
            }
    }
    counting = 0;
    /* What was never seen by a stream that missed the end is a gap, too. */
    long missing = 0;
    for (int i = 0; i < good; i++) missing += last_number + 1 - all[i].expected;
    printf("{\"events\":%ld,\"seconds\":%.4f,\"p50\":%.4f,\"p99\":%.4f,\"max\":%.4f,\"gaps\":%ld,"
           "\"duplicates\":%ld,\"missing\":%ld,\"finished\":%ld,\"bytes\":%ld,\"cut\":%ld,"
           "\"refused\":%ld,\"resumed\":%ld,\"others\":%ld,\"cpu\":%.4f}\n",
           events, events ? latest - first_due / 1e6 : now() - begun, percentile(0.5),
           percentile(0.99), percentile(1), gaps, duplicates, missing, finished, bytes, cut, refused,
           resumed, others, cpu() - before);
    fflush(stdout);
}

int main(int count, char **args) {
    if (count < 5) { fprintf(stderr, "client PORT PATH STREAMS SECONDS [name=value ...]\n"); return 2; }
    port = atoi(args[1]);
    snprintf(path, sizeof path, "%s", args[2]);
    streams = atoi(args[3]);
    double seconds = atof(args[4]);
    for (int i = 5; i < count; i++) {
        if (sscanf(args[i], "jobs=%d", &jobs) || sscanf(args[i], "window=%d", &window) ||
            sscanf(args[i], "churn=%lf", &churn) || sscanf(args[i], "slow=%d", &slow) ||
            sscanf(args[i], "slow_rate=%d", &slow_rate) ||
            sscanf(args[i], "accept=%127[^\n]", accept_header)) continue;
        fprintf(stderr, "client: unknown option %s\n", args[i]);
        return 2;
    }
    epoll_fd = epoll_create1(0);
    all = calloc(streams, sizeof *all);
    for (int i = 0; i < streams; i++) {
        all[i].fd = -1;
        all[i].slow = i >= streams - slow;
    }
    open_all();
    fcntl(0, F_SETFL, O_NONBLOCK);
    while (asked()) count_for(seconds);
    return 0;
}
