/* Two TUN devices in two network namespaces, and a fixed delay on the way between them: for kernels without netem.

   usage: delay NAMESPACE_A NAMESPACE_B ONE_WAY_MICROSECONDS
   The devices are called delay0 in both. Packets keep their order; when a queue is full the newest is dropped and told. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define SLOTS 65536u
#define LONGEST 1600

struct packet { uint64_t due; int length; unsigned char bytes[LONGEST]; };
struct way { int from, to; unsigned head, tail; struct packet *slots; };

static void fail(const char *what) { perror(what); exit(1); }

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int device_in(const char *name)
{
    char path[256];
    snprintf(path, sizeof path, "/run/netns/%s", name);
    int space = open(path, O_RDONLY);
    if (space < 0 || setns(space, CLONE_NEWNET) < 0) fail(path);
    close(space);
    int device = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
    if (device < 0) fail("/dev/net/tun");
    struct ifreq request;
    memset(&request, 0, sizeof request);
    request.ifr_flags = IFF_TUN | IFF_NO_PI;
    strcpy(request.ifr_name, "delay0");
    if (ioctl(device, TUNSETIFF, &request) < 0) fail("TUNSETIFF");
    return device;
}

static void take(struct way *way, uint64_t delay)
{
    for (int count = 0; count < 256; count++) {
        if (way->tail - way->head >= SLOTS) { fprintf(stderr, "a queue is full\n"); return; }
        struct packet *packet = &way->slots[way->tail % SLOTS];
        packet->length = (int)read(way->from, packet->bytes, LONGEST);
        if (packet->length <= 0) return;
        packet->due = now() + delay;
        way->tail++;
    }
}

static void give(struct way *way)
{
    uint64_t at = now();
    while (way->head != way->tail && way->slots[way->head % SLOTS].due <= at) {
        struct packet *packet = &way->slots[way->head % SLOTS];
        if (write(way->to, packet->bytes, (size_t)packet->length) < 0 && errno == EAGAIN) return;
        way->head++;
    }
}

int main(int count, char **words)
{
    if (count != 4) { fprintf(stderr, "usage: delay NAMESPACE_A NAMESPACE_B ONE_WAY_MICROSECONDS\n"); return 2; }
    int a = device_in(words[1]), b = device_in(words[2]);
    uint64_t delay = strtoull(words[3], NULL, 10) * 1000u;
    struct way ways[2] = {{a, b, 0, 0, NULL}, {b, a, 0, 0, NULL}};
    for (int i = 0; i < 2; i++)
        if (!(ways[i].slots = malloc(sizeof(struct packet) * SLOTS))) fail("malloc");
    prctl(PR_SET_TIMERSLACK, 1000);
    puts("ready");
    fflush(stdout);
    for (;;) {
        uint64_t next = UINT64_MAX, at = now();
        for (int i = 0; i < 2; i++)
            if (ways[i].head != ways[i].tail && ways[i].slots[ways[i].head % SLOTS].due < next)
                next = ways[i].slots[ways[i].head % SLOTS].due;
        uint64_t wait = next > at ? next - at : 0;
        struct timespec rest = {(time_t)(wait / 1000000000u), (long)(wait % 1000000000u)};
        struct pollfd ready[2] = {{a, POLLIN, 0}, {b, POLLIN, 0}};
        if (ppoll(ready, 2, next == UINT64_MAX ? NULL : &rest, NULL) < 0 && errno != EINTR) fail("ppoll");
        for (int i = 0; i < 2; i++) {
            if (ready[i].revents & POLLIN) take(&ways[i], delay);
            give(&ways[i]);
        }
    }
}
