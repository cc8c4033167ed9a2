/* A Lambda Runtime API server that spawns a runtime, feeds it one event many times and measures.
 *
 *   server <cpu> <event file> <invocations> <command> [argument ...]
 *
 * The runtime gets this process's environment plus AWS_LAMBDA_RUNTIME_API, and both run on the one
 * CPU, so that neither waits for the other core to wake up. Printed on standard output:
 *
 *   init_us invoke_us peak_kb
 *
 * init_us    from fork to the first `next`, microseconds
 * invoke_us  median time from sending the event to the following `next`, microseconds (0: none)
 * peak_kb    peak resident memory of the runtime (VmHWM), kilobytes
 *
 * Like Lambda's own server it sends bodies over 2 kB as one chunk.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_CONNECTIONS 16
#define BUFFER (16 << 20)

static char *buffer;

static void die(const char *what) {
    perror(what);
    exit(2);
}

static double now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static void send_all(int fd, struct iovec *parts, int count) {
    while (count) {
        ssize_t n = writev(fd, parts, count);
        if (n < 0) die("writev");
        while (count && (size_t)n >= parts->iov_len) {
            n -= parts->iov_len;
            parts++;
            count--;
        }
        if (count) {
            parts->iov_base = (char *)parts->iov_base + n;
            parts->iov_len -= n;
        }
    }
}

/* Read one request; 'n' for next, 'p' for a POST, 0 when the connection ended. */
static int read_request(int fd) {
    size_t filled = 0;
    char *end = NULL;
    while (!end) {
        ssize_t n = recv(fd, buffer + filled, BUFFER - 1 - filled, 0);
        if (n <= 0) return 0;
        filled += n;
        buffer[filled] = 0;
        end = memmem(buffer, filled, "\r\n\r\n", 4);
    }
    if (!strncmp(buffer, "GET ", 4)) return 'n';
    if (strstr(buffer, "/error HTTP")) fprintf(stderr, "%s\n", buffer), exit(3);
    *end = 0;
    char *length = strcasestr(buffer, "\r\ncontent-length:");
    if (!length) fprintf(stderr, "no length in %s\n", buffer), exit(3);
    size_t need = end + 4 - buffer + strtoul(length + 17, NULL, 10);
    while (filled < need) {
        ssize_t n = recv(fd, buffer + filled, need - filled, 0);
        if (n <= 0) return 0;
        filled += n;
    }
    return 'p';
}

static int compare(const void *a, const void *b) {
    double d = *(const double *)a - *(const double *)b;
    return (d > 0) - (d < 0);
}

static long peak_kb(pid_t pid) {
    char path[64], line[256];
    long kb = 0;
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    FILE *f = fopen(path, "r");
    if (!f) die(path);
    while (fgets(line, sizeof line, f)) sscanf(line, "VmHWM: %ld", &kb);
    fclose(f);
    return kb;
}

int main(int argc, char **argv) {
    if (argc < 5) {
        fprintf(stderr, "usage: %s <cpu> <event file> <invocations> <command> ...\n", argv[0]);
        return 2;
    }
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    CPU_SET(atoi(argv[1]), &cpus);
    if (sched_setaffinity(0, sizeof cpus, &cpus)) die("sched_setaffinity");
    buffer = malloc(BUFFER);
    FILE *f = fopen(argv[2], "rb");
    if (!f) die(argv[2]);
    char *event = malloc(BUFFER);
    size_t event_size = fread(event, 1, BUFFER, f);
    fclose(f);
    int rounds = atoi(argv[3]);
    double *times = calloc(rounds + 1, sizeof *times);

    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    if (bind(listener, (void *)&address, size) || listen(listener, 8)) die("listen");
    getsockname(listener, (void *)&address, &size);
    char api[32];
    snprintf(api, sizeof api, "127.0.0.1:%d", ntohs(address.sin_port));
    setenv("AWS_LAMBDA_RUNTIME_API", api, 1);

    double started = now_us(), init = 0, sent = 0;
    pid_t pid = fork();
    if (!pid) {
        execv(argv[4], argv + 4);
        die(argv[4]);
    }
    struct pollfd fds[MAX_CONNECTIONS] = {{listener, POLLIN, 0}};
    int count = 1, round = 0, done = 0;
    while (!done) {
        if (poll(fds, count, 60000) <= 0) fprintf(stderr, "nothing came for 60 s\n"), exit(3);
        if (fds[0].revents && count < MAX_CONNECTIONS) {
            int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
            fds[count++] = (struct pollfd){fd, POLLIN, 0};
            continue;
        }
        for (int i = 1; i < count && !done; i++) {
            if (!fds[i].revents) continue;
            char head[1024];
            int fd = fds[i].fd, kind = read_request(fd);
            if (kind == 'p') {
                static char ok[] = "HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\n"
                                   "Date: Mon, 01 Jan 2024 00:00:00 GMT\r\nContent-Length: 16\r\n\r\n"
                                   "{\"status\":\"OK\"}\n";
                struct iovec reply = {ok, sizeof ok - 1};
                send_all(fd, &reply, 1);
            } else if (kind == 'n') {
                double now = now_us();
                if (!init)
                    init = now - started;
                else
                    times[round++] = now - sent;
                if (round == rounds) {
                    done = 1;
                    break;
                }
                int n = snprintf(head, sizeof head,
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                    "Lambda-Runtime-Aws-Request-Id: 8476a536-e9f4-11e8-9739-%012d\r\n"
                    "Lambda-Runtime-Deadline-Ms: 4102444800000\r\n"
                    "Lambda-Runtime-Invoked-Function-Arn: "
                    "arn:aws:lambda:us-east-1:123456789012:function:benchmark\r\n"
                    "Lambda-Runtime-Trace-Id: Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;"
                    "Parent=9a9197af755a6419;Sampled=1\r\n"
                    "Date: Mon, 01 Jan 2024 00:00:00 GMT\r\n", round);
                if (event_size > 2048)
                    n += snprintf(head + n, sizeof head - n,
                        "Transfer-Encoding: chunked\r\n\r\n%zx\r\n", event_size);
                else
                    n += snprintf(head + n, sizeof head - n,
                        "Content-Length: %zu\r\n\r\n", event_size);
                struct iovec parts[] = {{head, n}, {event, event_size}, {"\r\n0\r\n\r\n", 7}};
                sent = now_us();
                send_all(fd, parts, event_size > 2048 ? 3 : 2);
            } else {
                close(fd);
                fds[i--] = fds[--count];
            }
        }
        int status;
        if (!done && waitpid(pid, &status, WNOHANG) == pid) {
            fprintf(stderr, "the runtime ended with status %d\n", status);
            return 3;
        }
    }
    long kb = peak_kb(pid);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    qsort(times, round, sizeof *times, compare);
    printf("%.1f %.2f %ld\n", init, round ? times[round / 2] : 0.0, kb);
    return 0;
}
