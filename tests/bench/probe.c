/* The measuring half of the benchmark: writers that time their own calls, one freeze in their
 * midst, and (as `probe watchdog`) the process that thaws whatever became of it. Native, because an
 * interpreter's pauses are longer than what is measured. It judges nothing: it prints the times, and
 * trial.py makes figures of them. Built and started by equipment.py and trial.py. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BLOCK 4096
#define CHUNK (64 << 10)
/* Half a minute of calls two milliseconds apart, and as much again to spare. */
#define OPS_MAX 32768
#define PROBE_FILE_BYTES (1 << 20)
#define STREAM_FILE_BYTES (1L << 30)
#define WORDS_MAX 32

struct op { int64_t start, end; };
struct writer {
    char kind; /* f: write and fdatasync, b: buffered write, w: the stream */
    int mount, fd;
    int64_t pause_ns;
    struct op *ops;
    int count;
    pthread_t thread;
};

static volatile int stop;

static void die(const char *what) { perror(what); exit(2); }

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void rest(int64_t ns) {
    struct timespec t = {ns / 1000000000, ns % 1000000000};
    if (ns > 0) nanosleep(&t, NULL);
}

static int open_in(const char *mount, const char *name) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", mount, name);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) die(path);
    return fd;
}

static void *write_on(void *argument) {
    struct writer *w = argument;
    static const char data[CHUNK] = {1};
    size_t len = w->kind == 'w' ? CHUNK : BLOCK;
    int64_t size = w->kind == 'w' ? STREAM_FILE_BYTES : PROBE_FILE_BYTES, at = 0, due = now();
    while (!stop) {
        struct op op = {now(), 0};
        if (pwrite(w->fd, data, len, at) < 0) die("pwrite");
        if (w->kind == 'f' && fdatasync(w->fd) < 0) die("fdatasync");
        op.end = now();
        if (w->count < OPS_MAX) w->ops[w->count++] = op;
        at = (at + (int64_t)len) % size;
        /* The stream keeps its rate; a blocked one does not make up for it with a burst. */
        due = w->kind == 'w' && due > op.end - 100000000 ? due + w->pause_ns : op.end + w->pause_ns;
        rest(due - now());
    }
    return NULL;
}

static struct writer *start_writer(char kind, int mount, int fd, int64_t pause_ns) {
    struct writer *w = calloc(1, sizeof *w);
    *w = (struct writer){kind, mount, fd, pause_ns, calloc(OPS_MAX, sizeof(struct op)), 0, 0};
    if (pthread_create(&w->thread, NULL, write_on, w)) die("pthread_create");
    return w;
}

/* A command waits in its own process group and cgroup for its moment: entering a cgroup waits for an
 * RCU grace period, which is not the command's. A request to a socket is connected before. */
struct request { pid_t pid; int fd; const char *line; };

/* qemu-ga serves one connection at a time, so its freeze and its thaw share one. */
static int agent_socket = -1;

static void prepare(struct request *r, char *text, const char *cgroup, const char *log) {
    *r = (struct request){0, -1, NULL};
    if (!strncmp(text, "sock:", 5)) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        char *space = strchr(text, ' ');
        *space = 0;
        strncpy(address.sun_path, text + 5, sizeof address.sun_path - 1);
        r->line = space + 1;
        if (agent_socket < 0) {
            agent_socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
            if (connect(agent_socket, (void *)&address, sizeof address)) die("connect");
        }
        r->fd = agent_socket;
        return;
    }
    int go[2]; /* What follows is "exec:" and the words of a command. */
    if (pipe2(go, O_CLOEXEC)) die("pipe");
    r->pid = fork();
    if (r->pid < 0) die("fork");
    if (!r->pid) {
        char *words[WORDS_MAX + 1] = {0}, byte;
        int count = 0;
        for (char *word = strtok(text + 5, " "); word && count < WORDS_MAX; word = strtok(NULL, " "))
            words[count++] = word;
        setpgid(0, 0);
        char procs[512];
        snprintf(procs, sizeof procs, "%s/cgroup.procs", cgroup);
        int fd = open(procs, O_WRONLY | O_CLOEXEC);
        if (fd < 0 || write(fd, "0", 1) != 1) die(procs);
        int out = open(log, O_WRONLY | O_CREAT | O_TRUNC, 0600), null = open("/dev/null", O_RDONLY);
        if (out < 0 || null < 0) die(log);
        close(go[1]);
        if (read(go[0], &byte, 1) != 1) _exit(125);
        dup2(null, 0), dup2(out, 1), dup2(out, 2);
        execv(words[0], words);
        _exit(127);
    }
    close(go[0]);
    r->fd = go[1];
}

/* The exit code of the command, or 0 or 1 for an answer of qemu-ga. */
static int perform(struct request *r) {
    char answer[4096];
    if (r->pid) {
        int status;
        if (write(r->fd, "g", 1) != 1 || waitpid(r->pid, &status, 0) < 0) die("request");
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
    if (dprintf(r->fd, "%s\n", r->line) < 0) die("request");
    ssize_t len = read(r->fd, answer, sizeof answer - 1);
    answer[len < 0 ? 0 : len] = 0;
    return strstr(answer, "\"return\"") ? 0 : 1;
}

static void print_ops(struct writer *w, int64_t from) {
    for (int i = 0; i < w->count; i++)
        if (w->ops[i].end >= from)
            printf("%c %d %ld %ld\n", w->kind, w->mount, w->ops[i].start, w->ops[i].end);
}

/* What the processes of a cgroup have used. */
static long cpu_ns(int usage) {
    char text[32] = "";
    if (pread(usage, text, sizeof text - 1, 0) <= 0) die("cpuacct.usage");
    return atol(text);
}

/* probe trial MOUNTS PAUSE_US WARM_MS DIRTY_MB RATE_MB RATE_WARM_MS HOLD_MS CGROUP LOG PRE POST */
static int trial(char **a) {
    char *mounts[64];
    int n = 0;
    for (char *m = strtok(a[0], ","); m && n < 64; m = strtok(NULL, ",")) mounts[n++] = m;
    int64_t pause = atoll(a[1]) * 1000, dirty = atoll(a[3]) << 20, rate = atoll(a[4]) * 1000000;
    int64_t rate_warm = atoll(a[5]) * 1000000, hold = atoll(a[6]) * 1000000;
    struct request pre, post;
    char line[16], usage_path[512];
    prepare(&post, a[10], a[7], a[8]);
    prepare(&pre, a[9], a[7], a[8]);
    snprintf(usage_path, sizeof usage_path, "%s/cpuacct.usage", a[7]);
    int usage = open(usage_path, O_RDONLY | O_CLOEXEC);
    struct writer *writers[2 * 64 + 1];
    int count = 0, stream = open_in(mounts[0], "stream"), big = open_in(mounts[0], "dirty");
    mlockall(MCL_CURRENT | MCL_FUTURE);
    for (int i = 0; i < n; i++) {
        writers[count++] = start_writer('f', i, open_in(mounts[i], "probe-f"), pause);
        writers[count++] = start_writer('b', i, open_in(mounts[i], "probe-b"), pause);
    }
    rest(atoll(a[2]) * 1000000);
    static char chunk[1 << 20];
    memset(chunk, (int)now(), sizeof chunk);
    for (int64_t at = 0; at < dirty; at += sizeof chunk)
        if (pwrite(big, chunk, sizeof chunk, at) < 0) die("dirty");
    if (rate) {
        writers[count++] = start_writer('w', 0, stream, (int64_t)CHUNK * 1000000000 / rate);
        rest(rate_warm);
    }
    printf("ready\n"), fflush(stdout);
    if (!fgets(line, sizeof line, stdin) || strcmp(line, "go\n")) _exit(3);
    long cpu_before = cpu_ns(usage);
    int64_t requested = now();
    int pre_code = perform(&pre);
    int64_t answered = now();
    long cpu_to_frozen = cpu_ns(usage) - cpu_before;
    if (pre_code == 0) rest(hold);
    int64_t thawing = now();
    int post_code = perform(&post);
    int64_t thawed = now();
    rest(100000000);
    stop = 1;
    for (int i = 0; i < count; i++) pthread_join(writers[i]->thread, NULL);
    printf("= %ld %ld %ld %ld %d %d %ld\n", requested, answered, thawing, thawed, pre_code, post_code,
           cpu_to_frozen);
    for (int i = 0; i < count; i++) print_ops(writers[i], requested - 500000000);
    printf(".\n");
    return 0;
}

struct guard { int fd; volatile int busy, thawed; };

static void *thaw(void *argument) {
    struct guard *g = argument;
    if (ioctl(g->fd, FITHAW, 0) == 0) g->thawed = 1;
    g->busy = 0;
    return NULL;
}

/* FITHAW blocks while a freeze is still writing, so each has a thread, and again for a freeze that
 * completes later. */
static void thaw_all(struct guard *guards, int n) {
    for (int i = 0; i < n; i++) {
        pthread_t thread;
        if (guards[i].busy) continue;
        guards[i].busy = 1;
        if (pthread_create(&thread, NULL, thaw, &guards[i])) guards[i].busy = 0;
        else pthread_detach(thread);
    }
    for (int left = 50, busy = 1; busy && left; left--) {
        busy = 0;
        for (int i = 0; i < n; i++) busy |= guards[i].busy;
        if (busy) rest(10000000);
    }
}

/* probe watchdog SECONDS MOUNT...: exits with 9 when it found something frozen. */
static int watchdog(int argc, char **a) {
    int n = argc - 1, seconds = atoi(a[0]), thawed = 0, rounds = 1;
    struct guard *guards = calloc(n, sizeof *guards);
    char line[8] = "";
    for (int i = 0; i < n; i++)
        if ((guards[i].fd = open(a[i + 1], O_RDONLY | O_DIRECTORY)) < 0) die(a[i + 1]);
    for (int number = 1; number < 16; number++)
        if (number != SIGKILL) signal(number, SIG_IGN);
    mlockall(MCL_CURRENT | MCL_FUTURE);
    printf("ready\n"), fflush(stdout);
    struct pollfd in = {0, POLLIN, 0};
    while (poll(&in, 1, seconds * 1000) == 0) {
        seconds = 1; /* Time is up: thaw every second until the driver is there again. */
        thaw_all(guards, n);
    }
    /* Closed without a word: the driver died, and a freeze may still be under way. */
    if (read(0, line, sizeof line) <= 0) rounds = 20;
    for (; rounds; rounds--) {
        thaw_all(guards, n);
        if (rounds > 1) rest(500000000);
    }
    for (int i = 0; i < n; i++) thawed |= guards[i].thawed;
    _exit(thawed ? 9 : 0);
}

int main(int argc, char **argv) {
    if (argc == 13 && !strcmp(argv[1], "trial")) return trial(argv + 2);
    if (argc > 3 && !strcmp(argv[1], "watchdog")) return watchdog(argc - 2, argv + 2);
    fprintf(stderr, "usage: probe trial ... | probe watchdog SECONDS MOUNT...\n");
    return 2;
}
