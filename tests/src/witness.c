/* A program that tells how it was started, one fact a line, and then does as its last argument says. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

extern char **environ;

static void file(const char *path) {
    char line[4096];
    FILE *from = fopen(path, "r");
    if (!from) {
        printf("W file %s missing\n", path);
        return;
    }
    while (fgets(line, sizeof line, from)) {
        line[strcspn(line, "\n")] = 0;
        printf("W file %s %s\n", path, line);
    }
    fclose(from);
}

static void caught(int signal) {
    char text[] = "W caught 00\n";
    text[9] += signal / 10;
    text[10] += signal % 10;
    if (write(1, text, sizeof text - 1) > 0)
        _exit(7);
}

int main(int argc, char **argv) {
    char text[4096];
    gid_t groups[64];
    struct rlimit limit;
    setvbuf(stdout, 0, _IOLBF, 0);
    for (int i = 0; i < argc; i++)
        printf("W argv %d %s\n", i, argv[i]);
    for (char **variable = environ; *variable; variable++)
        printf("W env %s\n", *variable);
    printf("W pid %d sid %d\n", getpid(), getsid(0));
    printf("W uid %d %d gid %d %d\n", getuid(), geteuid(), getgid(), getegid());
    int count = getgroups(64, groups);
    printf("W groups");
    for (int i = 0; i < count; i++)
        printf(" %d", groups[i]);
    printf("\nW cwd %s\n", getcwd(text, sizeof text));
    getrlimit(RLIMIT_NOFILE, &limit);
    printf("W nofile %lu %lu\n", (unsigned long)limit.rlim_cur, (unsigned long)limit.rlim_max);
    mode_t mask = umask(022);
    printf("W umask %03o\n", mask);
    DIR *descriptors = opendir("/proc/self/fd");
    if (descriptors) {
        struct dirent *entry;
        while ((entry = readdir(descriptors)))
            if (entry->d_name[0] != '.' && atoi(entry->d_name) != dirfd(descriptors))
                printf("W fd %s\n", entry->d_name);
        closedir(descriptors);
    }
    FILE *status = fopen("/proc/self/status", "r");
    while (status && fgets(text, sizeof text, status))
        if (!strncmp(text, "Cap", 3) || !strncmp(text, "Sig", 3) || !strncmp(text, "NoNewPrivs", 10))
            printf("W status %s", text);
    gethostname(text, sizeof text);
    printf("W hostname %s\n", text);
    file("/proc/self/mounts");
    file("/etc/hostname");
    file("/etc/hosts");
    file("/etc/resolv.conf");
    int again = open("/dev/stdout", O_WRONLY);
    printf("W stdout %s\n", again < 0 ? "shut" : "opens");
    int made = open("/written", O_CREAT | O_WRONLY, 0644);
    printf("W root %s\n", made < 0 ? "read-only" : "writable");
    const char *action = argc > 1 ? argv[argc - 1] : "exit=0";
    printf("W end\n");
    fflush(stdout);
    if (!strncmp(action, "exit=", 5))
        return atoi(action + 5);
    if (!strncmp(action, "signal=", 7)) {
        kill(getpid(), atoi(action + 7));
        pause();
    }
    if (!strcmp(action, "wait")) {
        for (int i = 1; i < 32; i++)
            signal(i, caught);
        printf("W waiting\n");
        for (;;)
            pause();
    }
    if (!strcmp(action, "fill")) {
        static char block[1 << 20];
        memset(block, 'x', sizeof block);
        while (made >= 0 && write(made, block, sizeof block) > 0)
            ;
        return 28;
    }
    if (!strcmp(action, "churn")) {
        for (int i = 0;; i++) {
            snprintf(text, sizeof text, "/churn%d", i % 100);
            int one = open(text, O_CREAT | O_WRONLY | O_TRUNC, 0644);
            if (one >= 0 && write(one, text, sizeof text) > 0)
                close(one);
            if (i == 2000)
                printf("W churning\n");
        }
    }
    return 0;
}
