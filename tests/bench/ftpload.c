// ftpload: explicit FTPS load from many threads at once, on loopback; one line of JSON tells how it was.
//
//   ftpload -m up|down|list|login|idle -p PORT -u USER -w PASSWORD
//           [-n THREADS] [-c COUNT] [-d SECONDS] [-s BYTES] [-f NAME] [-3]
//
//   up     each thread logs in, then stores COUNT files NAME<thread>_<i> of BYTES
//   down   each thread logs in, then fetches NAME<thread>_0 COUNT times
//   list   each thread logs in, then lists the directory NAME COUNT times (MLSD)
//   login  each thread logs in and out again, COUNT times
//   idle   THREADS sessions log in and wait until standard input ends
//
// -d ends a mode after so many seconds (after the file or login that runs). Logging in is not timed in
// the first two. Data channels resume the control channel's TLS session. TLS 1.2, or 1.3 with -3;
// AES-128-GCM in either, so that two servers do the same work.
//
//   cc -O2 -o ftpload ftpload.c -lssl -lcrypto -lpthread

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK = 1 << 20, LINE = 700 };

static struct {
    const char *mode, *user, *password, *name;
    int port, threads;
    long count;
    double seconds;
    long long size;
} opt = {.mode = "up", .user = "", .password = "", .name = "f", .threads = 1, .count = 1};

typedef struct {
    int fd;
    SSL *tls;
    SSL_SESSION *session;
    char input[8192];
    int filled;
} Control;

typedef struct {
    int id;
    long long bytes;
    long done, failed, resumed;
    double ended;
    double *latency;
    long latencies, room;
    char cipher[64];
} Thread;

static SSL_CTX *context;
static char *payload;
static pthread_barrier_t all_ready, start;
static double started;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static int time_is_up(void) { return opt.seconds > 0 && now() - started > opt.seconds; }

static void took(Thread *t, double seconds) {
    if (t->latencies == t->room) {
        t->room = t->room ? t->room * 2 : 1024;
        t->latency = realloc(t->latency, t->room * sizeof *t->latency);
    }
    t->latency[t->latencies++] = seconds;
}

// --- sockets and TLS -----------------------------------------------------------------

static int dial(int port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct timeval patience = {60, 0};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, (void *)&to, sizeof to) == 0) return fd;
    close(fd);
    return -1;
}

static SSL *handshake(int fd, SSL_SESSION *resume) {
    SSL *tls = SSL_new(context);
    SSL_set_fd(tls, fd);
    if (resume) SSL_set_session(tls, resume);
    if (SSL_connect(tls) == 1) return tls;
    SSL_free(tls);
    return NULL;
}

// --- the control channel ---------------------------------------------------------------

// The code of the next reply, its last line in `line`; -1 when the connection is lost.
static int read_reply(Control *c, char *line) {
    for (;;) {
        char *end;
        while ((end = memchr(c->input, '\n', c->filled))) {
            int length = end - c->input + 1, code = 0;
            if (length >= 4 && c->input[3] == ' ') {
                int kept = length < LINE - 1 ? length : LINE - 1;
                code = atoi(c->input);
                memcpy(line, c->input, kept);
                line[kept] = 0;
            }
            memmove(c->input, c->input + length, c->filled - length);
            c->filled -= length;
            if (code) return code;
        }
        char *at = c->input + c->filled;
        int room = sizeof c->input - c->filled;
        int n = c->tls ? SSL_read(c->tls, at, room) : (int)read(c->fd, at, room);
        if (n <= 0) return -1;
        c->filled += n;
    }
}

static int command(Control *c, char *line, const char *verb, const char *argument) {
    char text[LINE];
    int n = snprintf(text, sizeof text, *argument ? "%s %s\r\n" : "%s\r\n", verb, argument);
    int sent = c->tls ? SSL_write(c->tls, text, n) : (int)write(c->fd, text, n);
    return sent == n ? read_reply(c, line) : -1;
}

static const char *log_in(Control *c, Thread *t) {
    char line[LINE];
    memset(c, 0, sizeof *c);
    if ((c->fd = dial(opt.port)) < 0) return "connect";
    if (read_reply(c, line) != 220) return "greeting";
    if (command(c, line, "AUTH", "TLS") != 234) return "AUTH TLS";
    if (!(c->tls = handshake(c->fd, NULL))) return "handshake";
    int code = command(c, line, "USER", opt.user);
    if (code == 331) code = command(c, line, "PASS", opt.password);
    if (code != 230) return "login";
    if (command(c, line, "PBSZ", "0") != 200) return "PBSZ";
    if (command(c, line, "PROT", "P") != 200) return "PROT";
    c->session = SSL_get1_session(c->tls);
    snprintf(t->cipher, sizeof t->cipher, "%s %s", SSL_get_version(c->tls), SSL_get_cipher(c->tls));
    return NULL;
}

static void hang_up(Control *c, int quit) {
    char line[LINE];
    if (quit && c->tls) command(c, line, "QUIT", "");
    if (c->tls) {
        SSL_shutdown(c->tls);
        SSL_free(c->tls);
    }
    if (c->session) SSL_SESSION_free(c->session);
    if (c->fd > 0) close(c->fd);
    memset(c, 0, sizeof *c);
}

// --- one transfer ----------------------------------------------------------------------

static int send_file(SSL *data, int fd, Thread *t) {
    char rest[4096];
    for (long long left = opt.size; left > 0;) {
        int n = SSL_write(data, payload, left < CHUNK ? (int)left : CHUNK);
        if (n <= 0) return 0;
        left -= n;
        t->bytes += n;
    }
    SSL_shutdown(data);
    shutdown(fd, SHUT_WR);
    while (SSL_read(data, rest, sizeof rest) > 0) {
    }
    return 1;
}

static int fetch_file(SSL *data, Thread *t) {
    static __thread char *into;
    int n;
    if (!into) into = malloc(1 << 18);
    while ((n = SSL_read(data, into, 1 << 18)) > 0) t->bytes += n;
    int whole = SSL_get_error(data, n) == SSL_ERROR_ZERO_RETURN;
    SSL_shutdown(data);
    return whole;
}

static const char *transfer(Control *c, Thread *t, const char *verb, const char *name) {
    char line[LINE], *port;
    if (command(c, line, "EPSV", "") != 229 || !(port = strstr(line, "|||"))) return "EPSV";
    int fd = dial(atoi(port + 3));
    if (fd < 0) return "data connection";
    int code = command(c, line, verb, name);
    if (code != 150 && code != 125) {
        close(fd);
        return verb;
    }
    SSL *data = handshake(fd, c->session);
    if (!data) {
        close(fd);
        return "data handshake";
    }
    t->resumed += SSL_session_reused(data);
    int whole = !strcmp(verb, "STOR") ? send_file(data, fd, t) : fetch_file(data, t);
    SSL_free(data);
    close(fd);
    if (!whole) return "data";
    return read_reply(c, line) == 226 ? NULL : "226";
}

// --- the modes -------------------------------------------------------------------------

static void failed(Thread *t, const char *where) {
    if (t->failed++ < 3) fprintf(stderr, "ftpload: failed at: %s\n", where);
}

static void log_in_again_and_again(Thread *t) {
    for (long i = 0; i < opt.count && !time_is_up(); i++) {
        Control c;
        double began = now();
        const char *wrong = log_in(&c, t);
        hang_up(&c, !wrong);
        if (wrong) {
            failed(t, wrong);
        } else {
            t->done++;
            took(t, now() - began);
        }
    }
}

static void transfer_files(Thread *t, Control *c) {
    int up = !strcmp(opt.mode, "up"), list = !strcmp(opt.mode, "list");
    const char *verb = up ? "STOR" : list ? "MLSD" : "RETR";
    char name[256];
    for (long i = 0; i < opt.count && !time_is_up(); i++) {
        snprintf(name, sizeof name, list ? "%s" : "%s%d_%ld", opt.name, t->id, up ? i : 0L);
        double began = now();
        const char *wrong = transfer(c, t, verb, name);
        if (wrong) {
            failed(t, wrong);
            return;
        }
        t->done++;
        took(t, now() - began);
    }
}

static void *run(void *argument) {
    Thread *t = argument;
    Control c = {0};
    char line[LINE];
    int logins = !strcmp(opt.mode, "login");
    const char *wrong = logins ? NULL : log_in(&c, t);
    if (wrong) {
        failed(t, wrong);
    } else if (!logins) {
        command(&c, line, "TYPE", "I");
    }
    pthread_barrier_wait(&all_ready);
    pthread_barrier_wait(&start);  // `started` is set between the two
    if (logins) {
        log_in_again_and_again(t);
    } else if (!wrong) {
        transfer_files(t, &c);
    }
    t->ended = now();
    hang_up(&c, !wrong && !logins);
    return NULL;
}

static int idle(void) {
    Control *all = calloc(opt.threads, sizeof *all);
    Thread t = {0};
    int ready = 0;
    char byte;
    for (int i = 0; i < opt.threads; i++) {
        const char *wrong = log_in(&all[i], &t);
        if (wrong) {
            failed(&t, wrong);
        } else {
            ready++;
        }
    }
    printf("{\"ready\": %d}\n", ready);
    fflush(stdout);
    while (read(0, &byte, 1) > 0) {
    }
    for (int i = 0; i < opt.threads; i++) hang_up(&all[i], 0);
    return ready == opt.threads ? 0 : 1;
}

// --- setting up, and the result ----------------------------------------------------------

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static int report(Thread *threads, double cpu) {
    long long bytes = 0;
    long done = 0, wrong = 0, resumed = 0, count = 0;
    double ended = started;
    for (int i = 0; i < opt.threads; i++) count += threads[i].latencies;
    double *all = malloc((count + 1) * sizeof *all), *at = all;
    for (int i = 0; i < opt.threads; i++) {
        Thread *t = &threads[i];
        bytes += t->bytes;
        done += t->done;
        wrong += t->failed;
        resumed += t->resumed;
        if (t->ended > ended) ended = t->ended;
        memcpy(at, t->latency, t->latencies * sizeof *at);
        at += t->latencies;
    }
    qsort(all, count, sizeof *all, ascending);
    printf("{\"seconds\": %.4f, \"bytes\": %lld, \"done\": %ld, \"failed\": %ld, \"resumed\": %ld, "
           "\"cpu\": %.3f, \"p50\": %.5f, \"p99\": %.5f, \"cipher\": \"%s\"}\n",
           ended - started, bytes, done, wrong, resumed, cpu,
           count ? all[(count - 1) / 2] : 0, count ? all[(long)((count - 1) * 0.99)] : 0,
           threads[0].cipher);
    return wrong ? 1 : 0;
}

static double cpu_seconds(void) {
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    return r.ru_utime.tv_sec + r.ru_stime.tv_sec + (r.ru_utime.tv_usec + r.ru_stime.tv_usec) * 1e-6;
}

static void prepare(int version) {
    signal(SIGPIPE, SIG_IGN);
    context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_mode(context, SSL_MODE_AUTO_RETRY);
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_default_read_buffer_len(context, 128 * 1024);
    SSL_CTX_set_min_proto_version(context, version);
    SSL_CTX_set_max_proto_version(context, version);
    SSL_CTX_set_cipher_list(context, "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256");
    SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256");
    payload = malloc(CHUNK);
    unsigned x = 12345;
    for (size_t i = 0; i < CHUNK; i++) {
        x = x * 1103515245 + 12345;
        payload[i] = x >> 16;
    }
}

int main(int argc, char **argv) {
    int version = TLS1_2_VERSION, o;
    while ((o = getopt(argc, argv, "m:p:u:w:n:c:d:s:f:3")) > 0) switch (o) {
        case 'm': opt.mode = optarg; break;
        case 'p': opt.port = atoi(optarg); break;
        case 'u': opt.user = optarg; break;
        case 'w': opt.password = optarg; break;
        case 'n': opt.threads = atoi(optarg); break;
        case 'c': opt.count = atol(optarg); break;
        case 'd': opt.seconds = atof(optarg); break;
        case 's': opt.size = atoll(optarg); break;
        case 'f': opt.name = optarg; break;
        case '3': version = TLS1_3_VERSION; break;
        default: return 2;
        }
    prepare(version);
    if (!strcmp(opt.mode, "idle")) return idle();
    Thread *threads = calloc(opt.threads, sizeof *threads);
    pthread_t *handles = calloc(opt.threads, sizeof *handles);
    pthread_barrier_init(&all_ready, NULL, opt.threads + 1);
    pthread_barrier_init(&start, NULL, opt.threads + 1);
    for (int i = 0; i < opt.threads; i++) {
        threads[i].id = i;
        pthread_create(&handles[i], NULL, run, &threads[i]);
    }
    pthread_barrier_wait(&all_ready);
    double cpu = cpu_seconds();
    started = now();
    pthread_barrier_wait(&start);
    for (int i = 0; i < opt.threads; i++) pthread_join(handles[i], NULL);
    return report(threads, cpu_seconds() - cpu);
}
