// An ordinary C program against wasi-libc: what it prints must not depend on anything but its
// arguments and its inputs. Built once and committed as libc.wasm, so that tests need no compiler:
//
//   clang-19 --target=wasm32-wasi --sysroot=/usr -Oz -I/usr/include/wasm32-wasi -nostartfiles \
//     -nodefaultlibs -L/usr/lib/wasm32-wasi /usr/lib/wasm32-wasi/crt1-command.o libc.c -lm -lc \
//     /usr/lib/llvm-19/lib/clang/19/lib/wasi/libclang_rt.builtins-wasm32.a -Wl,--strip-all -o libc.wasm
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv) {
    printf("%d %s %s\n", argc, argv[0], argv[1]);

    DIR *folder = opendir("/in");
    if (!folder) return 2;
    for (struct dirent *entry; (entry = readdir(folder));) {
        if (entry->d_name[0] == '.') continue;
        char path[256];
        snprintf(path, sizeof path, "/in/%s", entry->d_name);
        struct stat status;
        if (stat(path, &status)) return 3;
        printf("%s %lld %d\n", entry->d_name, (long long)status.st_size, S_ISREG(status.st_mode));
    }
    closedir(folder);

    FILE *file = fopen("/in/numbers", "r");
    if (!file) return 4;
    double sum = 0, number;
    while (fscanf(file, "%lf", &number) == 1) sum += sqrt(number);
    fseek(file, -2, SEEK_END);
    printf("%.6f %c\n", sum, fgetc(file));
    fclose(file);

    errno = 0;
    printf("%d %d\n", fopen("/etc/passwd", "r") == NULL, errno != 0);
    printf("%d\n", fopen("/in/new", "w") == NULL);
    printf("%d %d\n", getenv("HOME") == NULL, (int)time(NULL));

    // A megabyte through malloc, read back.
    char *big = malloc(1 << 20);
    memset(big, 'x', 1 << 20);
    printf("%c%zu\n", big[12345], strnlen(big, 1000));
    free(big);

    unsigned char dice[4];
    if (getentropy(dice, sizeof dice)) return 5;
    printf("%d\n", dice[0] | dice[1] | dice[2] | dice[3] ? 1 : 0);
    fprintf(stderr, "done\n");
    return atoi(argv[1]) == 7 ? 9 : 0;
}
