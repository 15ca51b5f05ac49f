/* The least that a freeze can cost here: one process that is there already, a thread a filesystem,
 * expedited grace periods, and nothing of what makes a freeze safe. Nobody should run it but the
 * benchmark, which has a watchdog: it tells what of a stall is the kernel's and the writers' own.
 * It answers a socket as qemu-ga does (subjects.py). */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define MOUNTS_MAX 64

static int count, mounts[MOUNTS_MAX];
static unsigned long order;
static pthread_barrier_t ordered, done;

static void die(const char *what) { perror(what); exit(2); }

static void *work(void *mount) {
    for (;;) {
        pthread_barrier_wait(&ordered);
        if (ioctl(*(int *)mount, order, 0)) die("ioctl");
        pthread_barrier_wait(&done);
    }
    return NULL;
}

static void all(unsigned long what) {
    order = what;
    pthread_barrier_wait(&ordered);
    pthread_barrier_wait(&done);
}

static void expedite(int rcu, const char *value) {
    if (rcu >= 0 && pwrite(rcu, value, 1, 0) < 0) die("rcu_expedited");
}

static void freeze(int rcu) {
    /* The second finds what was written during the first. */
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < count; i++) syncfs(mounts[i]);
    expedite(rcu, "1");
    all(FIFREEZE);
    expedite(rcu, "0");
}

/* floor SOCKET MOUNT... */
int main(int argc, char **argv) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int rcu = open("/sys/kernel/rcu_expedited", O_RDWR), listener = socket(AF_UNIX, SOCK_STREAM, 0);
    if (argc < 3 || argc > MOUNTS_MAX + 2) return 2;
    count = argc - 2;
    pthread_barrier_init(&ordered, NULL, count + 1), pthread_barrier_init(&done, NULL, count + 1);
    for (int i = 0; i < count; i++) {
        pthread_t thread;
        if ((mounts[i] = open(argv[i + 2], O_RDONLY | O_DIRECTORY)) < 0) die(argv[i + 2]);
        if (pthread_create(&thread, NULL, work, &mounts[i])) die("pthread_create");
    }
    mlockall(MCL_CURRENT | MCL_FUTURE);
    strncpy(address.sun_path, argv[1], sizeof address.sun_path - 1);
    if (bind(listener, (void *)&address, sizeof address) || listen(listener, 4)) die(argv[1]);
    for (;;) {
        char line[4096];
        ssize_t len;
        int caller = accept(listener, NULL, NULL);
        if (caller < 0) die("accept");
        while ((len = read(caller, line, sizeof line - 1)) > 0) {
            line[len] = 0;
            strstr(line, "guest-fsfreeze-freeze") ? freeze(rcu) : all(FITHAW);
            dprintf(caller, "{\"return\": %d}\n", count);
        }
        close(caller);
    }
}
