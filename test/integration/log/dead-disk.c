// Makes a file or directory answer as on a disk that is gone (a hard-mounted NFS server that is away): each system
// call on it waits until a signal ends the process. For LD_PRELOAD.
//
//   DEAD_PATH   what must stand in a path for it to be one of these
//   DEAD_WHEN   a file: only while it exists
//   DEAD_NOTE   a file that is made when a call begins to wait
//   REMOTE_PATH what must stand in a path for statfs(2) to call it NFS
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define NFS_SUPER_MAGIC 0x6969

static int is_dead(const char *path) {
  const char *part = getenv("DEAD_PATH"), *when = getenv("DEAD_WHEN");
  if (part == NULL || path == NULL || strstr(path, part) == NULL) return 0;
  return when == NULL || faccessat(AT_FDCWD, when, F_OK, 0) == 0;
}

static void check(const char *path) {
  if (!is_dead(path)) return;
  const char *note = getenv("DEAD_NOTE");
  if (note != NULL) close(openat(AT_FDCWD, note, O_WRONLY | O_CREAT, 0666));
  // A handler that returns does not end it, as it does not in the kernel.
  while (is_dead(path)) usleep(20000);
}

static void check_fd(int fd) {
  if (getenv("DEAD_PATH") == NULL) return;
  char link[64], path[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length <= 0) return;
  path[length] = 0;
  check(path);
}

#define REAL(name) ((typeof(name) *)dlsym(RTLD_NEXT, #name))

#define OPEN(name)                                                                                                    \
  int name(const char *path, int flags, ...) {                                                                        \
    va_list rest;                                                                                                     \
    va_start(rest, flags);                                                                                            \
    mode_t mode = va_arg(rest, mode_t);                                                                               \
    va_end(rest);                                                                                                     \
    check(path);                                                                                                      \
    return REAL(openat)(AT_FDCWD, path, flags, mode);                                                                 \
  }
OPEN(open)
OPEN(open64)

ssize_t read(int fd, void *data, size_t bytes) {
  check_fd(fd);
  return REAL(read)(fd, data, bytes);
}
ssize_t pread(int fd, void *data, size_t bytes, off_t offset) {
  check_fd(fd);
  return REAL(pread)(fd, data, bytes, offset);
}
ssize_t pread64(int fd, void *data, size_t bytes, off64_t offset) {
  check_fd(fd);
  return REAL(pread64)(fd, data, bytes, offset);
}
ssize_t write(int fd, const void *data, size_t bytes) {
  check_fd(fd);
  return REAL(write)(fd, data, bytes);
}
int fdatasync(int fd) {
  check_fd(fd);
  return REAL(fdatasync)(fd);
}

// libuv asks for the state of a file through this one.
long syscall(long number, ...) {
  va_list rest;
  va_start(rest, number);
  long a = va_arg(rest, long), b = va_arg(rest, long), c = va_arg(rest, long), d = va_arg(rest, long),
       e = va_arg(rest, long), f = va_arg(rest, long);
  va_end(rest);
#ifdef SYS_statx
  if (number == SYS_statx) {
    if (b != 0 && *(const char *)b != 0) check((const char *)b);
    else check_fd((int)a);
  }
#endif
  return REAL(syscall)(number, a, b, c, d, e, f);
}
int statx(int directory, const char *restrict path, int flags, unsigned mask, struct statx *restrict buffer) {
  if (*path != 0) check(path);
  else check_fd(directory);
  return REAL(statx)(directory, path, flags, mask, buffer);
}

char *realpath(const char *restrict path, char *restrict resolved) {
  check(path);
  return REAL(realpath)(path, resolved);
}

#define SCAN(name, entry)                                                                                             \
  int name(const char *path, struct entry ***list, int (*filter)(const struct entry *),                               \
           int (*compare)(const struct entry **, const struct entry **)) {                                            \
    check(path);                                                                                                      \
    return REAL(name)(path, list, filter, compare);                                                                   \
  }
SCAN(scandir, dirent)
SCAN(scandir64, dirent64)

static int is_remote(const char *path) {
  const char *part = getenv("REMOTE_PATH");
  return part != NULL && strstr(path, part) != NULL;
}
int statfs(const char *path, struct statfs *buffer) {
  check(path);
  int result = REAL(statfs)(path, buffer);
  if (result == 0 && is_remote(path)) buffer->f_type = NFS_SUPER_MAGIC;
  return result;
}
int statfs64(const char *path, struct statfs64 *buffer) {
  check(path);
  int result = REAL(statfs64)(path, buffer);
  if (result == 0 && is_remote(path)) buffer->f_type = NFS_SUPER_MAGIC;
  return result;
}
