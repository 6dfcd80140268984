// Injects faults into the file calls of a process (LD_PRELOAD), and keeps a trace of them.
//
// QRUN_FAULTS        rules, separated by ";": CALL GLOB NTH ACTION [ARG]
//   CALL             write, read, sync (fsync and fdatasync), fdatasync, fsync, truncate, create, rename, link, unlink
//                    (also of a directory) or mkdir; change: any of them but read and sync
//   GLOB             of the whole path, as fnmatch(3) takes it
//   NTH              "3": only the third call that matches; "3+": this one and all after it
//   ACTION           kill P       a write: P per mille of the bytes, then SIGKILL; P = 0 before the call, 1000 after it
//                    stop P       a write: P per mille, then SIGSTOP; after SIGCONT the rest
//                    short P      a write: P per mille (at least one byte), and says so
//                    full P       a write: P per mille and a short count, then ENOSPC for every later call of the rule
//                    errno NAME   fails with EIO, ENOSPC, EDQUOT, EFBIG, EACCES or EINTR, nothing is done
//                    lie P        a write: P per mille, and says all
//                    delay MS     waits, then does it
// QRUN_FAULTS_FIRED  file that gets one line for each rule that took effect
// QRUN_TRACE         file that gets a record of each write, sync, truncate and create (binary, see ledger.ts)
// QRUN_TRACE_GLOB    globs of the paths that are traced, separated by ","
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum call { WRITE, READ, FDATASYNC, FSYNC, TRUNCATE, CREATE, RENAME, LINK, UNLINK, MKDIR, CALLS };
enum action { KILL, STOP, SHORT, FULL, ERRNO, LIE, DELAY };
static const char *const call_names[CALLS] = {"write",  "read",   "fdatasync", "fsync",  "truncate",
                                               "create", "rename", "link",      "unlink", "mkdir"};
static const char *const action_names[] = {"kill", "stop", "short", "full", "errno", "lie", "delay"};

struct rule {
  char call[16];
  char glob[512];
  long nth;
  int onwards;
  enum action action;
  long arg;
  long seen;
  int exhausted;
};

static struct rule rules[16];
static int rule_count;
static int trace_fd = -1;
static char trace_globs[8][512];
static int trace_glob_count;
static const char *fired_path;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_writev)(int, const struct iovec *, int);
static ssize_t (*real_pwrite)(int, const void *, size_t, off64_t);
static ssize_t (*real_pwritev)(int, const struct iovec *, int, off64_t);
static ssize_t (*real_read)(int, void *, size_t);
static ssize_t (*real_readv)(int, const struct iovec *, int);
static ssize_t (*real_pread)(int, void *, size_t, off64_t);
static ssize_t (*real_preadv)(int, const struct iovec *, int, off64_t);
static int (*real_fdatasync)(int);
static int (*real_fsync)(int);
static int (*real_ftruncate)(int, off64_t);
static int (*real_open)(const char *, int, ...);
static int (*real_openat)(int, const char *, int, ...);
static int (*real_rename)(const char *, const char *);
static int (*real_link)(const char *, const char *);
static int (*real_symlink)(const char *, const char *);
static int (*real_unlink)(const char *);
static int (*real_rmdir)(const char *);
static int (*real_mkdir)(const char *, mode_t);

static long errno_of(const char *name) {
  if (strcmp(name, "EIO") == 0) return EIO;
  if (strcmp(name, "ENOSPC") == 0) return ENOSPC;
  if (strcmp(name, "EDQUOT") == 0) return EDQUOT;
  if (strcmp(name, "EFBIG") == 0) return EFBIG;
  if (strcmp(name, "EACCES") == 0) return EACCES;
  if (strcmp(name, "EINTR") == 0) return EINTR;
  return 0;
}

static void die(const char *what) {
  fprintf(stderr, "faults: %s\n", what);
  abort();
}

static void parse_rules(const char *text) {
  char *copy = strdup(text), *state = NULL;
  for (char *part = strtok_r(copy, ";", &state); part; part = strtok_r(NULL, ";", &state)) {
    if (rule_count == 16) die("too many rules");
    struct rule *rule = &rules[rule_count++];
    char nth[32] = "", action[16] = "", arg[32] = "";
    if (sscanf(part, " %15s %511s %31s %15s %31s", rule->call, rule->glob, nth, action, arg) < 4) die(part);
    rule->nth = atol(nth);
    rule->onwards = strchr(nth, '+') != NULL;
    int found = -1;
    for (int i = 0; i < 7; i++)
      if (strcmp(action, action_names[i]) == 0) found = i;
    if (found < 0 || rule->nth < 1) die(part);
    rule->action = (enum action)found;
    rule->arg = found == ERRNO ? errno_of(arg) : atol(arg);
    if (found == ERRNO && rule->arg == 0) die(part);
  }
  free(copy);
}

static void initialise(void) {
  real_write = dlsym(RTLD_NEXT, "write");
  real_writev = dlsym(RTLD_NEXT, "writev");
  real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
  real_pwritev = dlsym(RTLD_NEXT, "pwritev64");
  real_read = dlsym(RTLD_NEXT, "read");
  real_readv = dlsym(RTLD_NEXT, "readv");
  real_pread = dlsym(RTLD_NEXT, "pread64");
  real_preadv = dlsym(RTLD_NEXT, "preadv64");
  real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
  real_fsync = dlsym(RTLD_NEXT, "fsync");
  real_ftruncate = dlsym(RTLD_NEXT, "ftruncate64");
  real_open = dlsym(RTLD_NEXT, "open64");
  real_openat = dlsym(RTLD_NEXT, "openat64");
  real_rename = dlsym(RTLD_NEXT, "rename");
  real_link = dlsym(RTLD_NEXT, "link");
  real_symlink = dlsym(RTLD_NEXT, "symlink");
  real_unlink = dlsym(RTLD_NEXT, "unlink");
  real_rmdir = dlsym(RTLD_NEXT, "rmdir");
  real_mkdir = dlsym(RTLD_NEXT, "mkdir");
  const char *text = getenv("QRUN_FAULTS");
  if (text) parse_rules(text);
  fired_path = getenv("QRUN_FAULTS_FIRED");
  const char *trace = getenv("QRUN_TRACE"), *globs = getenv("QRUN_TRACE_GLOB");
  if (trace && globs) {
    char *copy = strdup(globs), *state = NULL;
    for (char *glob = strtok_r(copy, ",", &state); glob && trace_glob_count < 8; glob = strtok_r(NULL, ",", &state))
      snprintf(trace_globs[trace_glob_count++], sizeof trace_globs[0], "%s", glob);
    free(copy);
    int fd = real_open(trace, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0) die("cannot open the trace");
    // Out of the way of the numbers that the program hands to children.
    trace_fd = fcntl(fd, F_DUPFD_CLOEXEC, 500);
    close(fd);
  }
}

// Only regular files; 0 where the path is unknown. Removed files are named without " (deleted)".
static int path_of(int fd, char *path, size_t size) {
  pthread_once(&once, initialise);
  if (rule_count == 0 && trace_fd < 0) return 0;
  struct stat stat;
  if (fd == trace_fd || fstat(fd, &stat) != 0 || !(S_ISREG(stat.st_mode) || S_ISDIR(stat.st_mode))) return 0;
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, size - 1);
  if (length <= 0) return 0;
  path[length] = 0;
  char *deleted = strstr(path, " (deleted)");
  if (deleted) *deleted = 0;
  return 1;
}

static int is_call(const struct rule *rule, enum call call) {
  if (strcmp(rule->call, call_names[call]) == 0) return 1;
  int syncs = call == FDATASYNC || call == FSYNC;
  return syncs ? strcmp(rule->call, "sync") == 0 : call != READ && strcmp(rule->call, "change") == 0;
}

static void fired(const struct rule *rule, const char *path) {
  if (!fired_path) return;
  char line[1200];
  int length = snprintf(line, sizeof line, "%d %s %s %ld %s\n", getpid(), rule->call, path, rule->seen,
                        action_names[rule->action]);
  int fd = real_open(fired_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
  if (fd < 0 || real_write(fd, line, length) != length) die("cannot note a fault");
  close(fd);
}

// The rule that applies to this call; each call is counted once for each rule.
static struct rule *match(enum call call, const char *path) {
  struct rule *found = NULL;
  pthread_mutex_lock(&lock);
  for (int i = 0; i < rule_count; i++) {
    struct rule *rule = &rules[i];
    if (!is_call(rule, call) || fnmatch(rule->glob, path, 0) != 0) continue;
    rule->seen++;
    int due = rule->seen == rule->nth || (rule->onwards && rule->seen > rule->nth) || rule->exhausted;
    if (due && !found) found = rule;
  }
  pthread_mutex_unlock(&lock);
  return found;
}

static int traced(const char *path) {
  if (trace_fd < 0) return 0;
  for (int i = 0; i < trace_glob_count; i++)
    if (fnmatch(trace_globs[i], path, 0) == 0) return 1;
  return 0;
}

struct head {
  char kind;
  char failed;
  uint16_t path_bytes;
  uint32_t pid;
  uint64_t offset;
  uint64_t bytes;
} __attribute__((packed));

static void trace(char kind, int failed, const char *path, uint64_t offset, const void *data, uint64_t bytes) {
  struct head head = {kind, (char)failed, (uint16_t)strlen(path), (uint32_t)getpid(), offset, data ? bytes : 0};
  struct iovec parts[3] = {
      {&head, sizeof head}, {(void *)path, head.path_bytes}, {(void *)data, head.bytes}};
  size_t total = sizeof head + head.path_bytes + head.bytes;
  if (real_writev(trace_fd, parts, data ? 3 : 2) != (ssize_t)total) die("cannot trace");
}

static void end_here(int signal) {
  kill(getpid(), signal);
  if (signal == SIGKILL)
    for (;;) pause();
}

// A write that failed is in the trace too: what its process cuts off next, it takes back.
static void refused(const char *path) {
  int saved = errno;
  if (traced(path)) trace('W', 1, path, 0, NULL, 0);
  errno = saved;
}

// Writes and traces; `offset` < 0: at the end or the current position, as write(2) does.
static ssize_t put(int fd, const char *path, const void *data, size_t bytes, off64_t offset) {
  ssize_t done = offset < 0 ? real_write(fd, data, bytes) : real_pwrite(fd, data, bytes, offset);
  if (done > 0 && traced(path)) {
    int saved = errno;
    off64_t at = offset < 0 ? lseek64(fd, 0, SEEK_CUR) - done : offset;
    trace('W', 0, path, (uint64_t)at, data, (uint64_t)done);
    errno = saved;
  }
  if (done < 0) refused(path);
  return done;
}

static ssize_t put_all(int fd, const char *path, const char *data, size_t bytes, off64_t offset) {
  size_t done = 0;
  while (done < bytes) {
    ssize_t step = put(fd, path, data + done, bytes - done, offset < 0 ? -1 : offset + (off64_t)done);
    if (step < 0) return done > 0 ? (ssize_t)done : -1;
    done += (size_t)step;
  }
  return (ssize_t)done;
}

static ssize_t faulty_write(int fd, const void *data, size_t bytes, off64_t offset) {
  char path[1024];
  if (!path_of(fd, path, sizeof path))
    return offset < 0 ? real_write(fd, data, bytes) : real_pwrite(fd, data, bytes, offset);
  struct rule *rule = match(WRITE, path);
  if (!rule) return put(fd, path, data, bytes, offset);
  size_t part = (size_t)((double)bytes * (double)rule->arg / 1000.0);
  if (rule->exhausted) {
    fired(rule, path);
    refused(path);
    errno = ENOSPC;
    return -1;
  }
  switch (rule->action) {
    case KILL:
    case STOP: {
      if (part > 0) put_all(fd, path, data, part, offset);
      fired(rule, path);
      end_here(rule->action == KILL ? SIGKILL : SIGSTOP);
      ssize_t rest = put_all(fd, path, (const char *)data + part, bytes - part, offset < 0 ? -1 : offset + (off64_t)part);
      return rest < 0 ? rest : (ssize_t)part + rest;
    }
    case SHORT:
    case FULL:
      fired(rule, path);
      if (rule->action == FULL) rule->exhausted = 1;
      if (part == 0 && rule->action == FULL) {
        refused(path);
        errno = ENOSPC;
        return -1;
      }
      return put(fd, path, data, part == 0 ? 1 : part, offset);
    case LIE:
      fired(rule, path);
      if (part > 0) put_all(fd, path, data, part, offset);
      return (ssize_t)bytes;
    case ERRNO:
      fired(rule, path);
      refused(path);
      errno = (int)rule->arg;
      return -1;
    case DELAY:
      fired(rule, path);
      usleep((useconds_t)rule->arg * 1000);
      break;
  }
  return put(fd, path, data, bytes, offset);
}

// The pieces are joined, so that a fault can fall between any two bytes.
static ssize_t faulty_writev(int fd, const struct iovec *pieces, int count, off64_t offset) {
  struct stat stat;
  pthread_once(&once, initialise);
  if (count == 1) return faulty_write(fd, pieces[0].iov_base, pieces[0].iov_len, offset);
  if (fstat(fd, &stat) != 0 || !S_ISREG(stat.st_mode))
    return offset < 0 ? real_writev(fd, pieces, count) : real_pwritev(fd, pieces, count, offset);
  size_t bytes = 0;
  for (int i = 0; i < count; i++) bytes += pieces[i].iov_len;
  char *joined = malloc(bytes ? bytes : 1), *at = joined;
  for (int i = 0; i < count; i++) at = mempcpy(at, pieces[i].iov_base, pieces[i].iov_len);
  ssize_t done = faulty_write(fd, joined, bytes, offset);
  int saved = errno;
  free(joined);
  errno = saved;
  return done;
}

ssize_t write(int fd, const void *data, size_t bytes) {
  pthread_once(&once, initialise);
  return faulty_write(fd, data, bytes, -1);
}
ssize_t pwrite(int fd, const void *data, size_t bytes, off_t offset) {
  pthread_once(&once, initialise);
  return faulty_write(fd, data, bytes, offset);
}
ssize_t pwrite64(int fd, const void *data, size_t bytes, off64_t offset) {
  pthread_once(&once, initialise);
  return faulty_write(fd, data, bytes, offset);
}
ssize_t writev(int fd, const struct iovec *pieces, int count) { return faulty_writev(fd, pieces, count, -1); }
ssize_t pwritev(int fd, const struct iovec *pieces, int count, off_t offset) {
  return faulty_writev(fd, pieces, count, offset);
}
ssize_t pwritev64(int fd, const struct iovec *pieces, int count, off64_t offset) {
  return faulty_writev(fd, pieces, count, offset);
}

// `before`: what a rule does in place of the call; -2 when the call is to be made.
static int intercept(enum call call, int fd, char *path, size_t size, struct rule **later) {
  *later = NULL;
  path[0] = 0;
  if (fd >= 0 && !path_of(fd, path, size)) return -2;
  struct rule *rule = match(call, path);
  if (!rule) return -2;
  fired(rule, path);
  switch (rule->action) {
    case KILL:
      if (rule->arg >= 1000) *later = rule;
      else end_here(SIGKILL);
      return -2;
    case STOP:
      end_here(SIGSTOP);
      return -2;
    case DELAY:
      usleep((useconds_t)rule->arg * 1000);
      return -2;
    case LIE:
      return 0;
    default:
      errno = rule->action == FULL ? ENOSPC : rule->action == ERRNO ? (int)rule->arg : EIO;
      return -1;
  }
}

static int after(int result, char kind, const char *path, uint64_t offset, struct rule *later) {
  int saved = errno;
  if (path[0] && traced(path)) trace(kind, result < 0, path, offset, NULL, 0);
  if (later) end_here(SIGKILL);
  errno = saved;
  return result;
}

static int faulty_sync(int fd, enum call call) {
  char path[1024];
  struct rule *later;
  pthread_once(&once, initialise);
  int result = intercept(call, fd, path, sizeof path, &later);
  if (result == -2) result = call == FDATASYNC ? real_fdatasync(fd) : real_fsync(fd);
  return after(result, 'S', path, 0, later);
}
int fdatasync(int fd) { return faulty_sync(fd, FDATASYNC); }
int fsync(int fd) { return faulty_sync(fd, FSYNC); }

static int faulty_truncate(int fd, off64_t size) {
  char path[1024];
  struct rule *later;
  pthread_once(&once, initialise);
  int result = intercept(TRUNCATE, fd, path, sizeof path, &later);
  if (result == -2) result = real_ftruncate(fd, size);
  return after(result, 'T', path, (uint64_t)size, later);
}
int ftruncate(int fd, off_t size) { return faulty_truncate(fd, size); }
int ftruncate64(int fd, off64_t size) { return faulty_truncate(fd, size); }

static ssize_t faulty_read(int fd, const struct iovec *pieces, int count, off64_t offset) {
  char path[1024];
  struct rule *later;
  int result = intercept(READ, fd, path, sizeof path, &later);
  if (result == -1) return -1;
  if (count == 1)
    return offset < 0 ? real_read(fd, pieces->iov_base, pieces->iov_len)
                      : real_pread(fd, pieces->iov_base, pieces->iov_len, offset);
  return offset < 0 ? real_readv(fd, pieces, count) : real_preadv(fd, pieces, count, offset);
}
ssize_t read(int fd, void *data, size_t bytes) {
  pthread_once(&once, initialise);
  struct iovec piece = {data, bytes};
  return faulty_read(fd, &piece, 1, -1);
}
ssize_t pread(int fd, void *data, size_t bytes, off_t offset) {
  pthread_once(&once, initialise);
  struct iovec piece = {data, bytes};
  return faulty_read(fd, &piece, 1, offset);
}
ssize_t pread64(int fd, void *data, size_t bytes, off64_t offset) {
  pthread_once(&once, initialise);
  struct iovec piece = {data, bytes};
  return faulty_read(fd, &piece, 1, offset);
}
ssize_t readv(int fd, const struct iovec *pieces, int count) {
  pthread_once(&once, initialise);
  return faulty_read(fd, pieces, count, -1);
}
ssize_t preadv(int fd, const struct iovec *pieces, int count, off_t offset) {
  pthread_once(&once, initialise);
  return faulty_read(fd, pieces, count, offset);
}
ssize_t preadv64(int fd, const struct iovec *pieces, int count, off64_t offset) {
  pthread_once(&once, initialise);
  return faulty_read(fd, pieces, count, offset);
}

static int faulty_open(int directory, const char *name, int flags, mode_t mode) {
  pthread_once(&once, initialise);
  struct rule *later = NULL;
  char path[1024] = "";
  if ((flags & O_CREAT) && name[0] == '/' && (rule_count > 0 || trace_fd >= 0)) {
    snprintf(path, sizeof path, "%s", name);
    struct rule *rule = match(CREATE, path);
    if (rule) {
      fired(rule, path);
      if (rule->action == KILL && rule->arg < 1000) end_here(SIGKILL);
      if (rule->action == KILL) later = rule;
      if (rule->action == ERRNO) {
        errno = (int)rule->arg;
        return -1;
      }
    }
  }
  int fd = directory == AT_FDCWD ? real_open(name, flags, mode) : real_openat(directory, name, flags, mode);
  return path[0] ? after(fd, 'C', path, 0, later) : fd;
}
#define WITH_MODE(flags, mode)           \
  mode_t mode = 0;                       \
  if ((flags) & (O_CREAT | O_TMPFILE)) { \
    va_list list;                        \
    va_start(list, flags);               \
    mode = va_arg(list, mode_t);         \
    va_end(list);                        \
  }
int open(const char *path, int flags, ...) {
  WITH_MODE(flags, mode)
  return faulty_open(AT_FDCWD, path, flags, mode);
}
int open64(const char *path, int flags, ...) {
  WITH_MODE(flags, mode)
  return faulty_open(AT_FDCWD, path, flags, mode);
}
int openat(int directory, const char *path, int flags, ...) {
  WITH_MODE(flags, mode)
  return faulty_open(directory, path, flags, mode);
}
int openat64(int directory, const char *path, int flags, ...) {
  WITH_MODE(flags, mode)
  return faulty_open(directory, path, flags, mode);
}

// Calls that name their file; of two names the new one counts.
static int before_named(enum call call, const char *name, struct rule **later) {
  char path[1024];
  pthread_once(&once, initialise);
  *later = NULL;
  if (rule_count == 0) return -2;
  snprintf(path, sizeof path, "%s", name);
  struct rule *rule = match(call, path);
  if (!rule) return -2;
  fired(rule, path);
  if (rule->action == KILL) {
    if (rule->arg < 1000) end_here(SIGKILL);
    *later = rule;
    return -2;
  }
  if (rule->action == STOP) end_here(SIGSTOP);
  if (rule->action == DELAY) usleep((useconds_t)rule->arg * 1000);
  if (rule->action == STOP || rule->action == DELAY) return -2;
  if (rule->action == LIE) return 0;
  errno = rule->action == FULL ? ENOSPC : rule->action == ERRNO ? (int)rule->arg : EIO;
  return -1;
}

static int after_named(int result, struct rule *later) {
  if (later) end_here(SIGKILL);
  return result;
}

int rename(const char *from, const char *to) {
  struct rule *later;
  int result = before_named(RENAME, to, &later);
  return after_named(result == -2 ? real_rename(from, to) : result, later);
}
int link(const char *from, const char *to) {
  struct rule *later;
  int result = before_named(LINK, to, &later);
  return after_named(result == -2 ? real_link(from, to) : result, later);
}
int symlink(const char *from, const char *to) {
  struct rule *later;
  int result = before_named(LINK, to, &later);
  return after_named(result == -2 ? real_symlink(from, to) : result, later);
}
int unlink(const char *path) {
  struct rule *later;
  int result = before_named(UNLINK, path, &later);
  return after_named(result == -2 ? real_unlink(path) : result, later);
}
int rmdir(const char *path) {
  struct rule *later;
  int result = before_named(UNLINK, path, &later);
  return after_named(result == -2 ? real_rmdir(path) : result, later);
}
int mkdir(const char *path, mode_t mode) {
  struct rule *later;
  int result = before_named(MKDIR, path, &later);
  return after_named(result == -2 ? real_mkdir(path, mode) : result, later);
}
