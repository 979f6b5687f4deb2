/*
 * Preloaded into a process, it lets writes to files below BROKEN_DISK fail as a bad disk does. What fails is in the
 * file BROKEN_DISK_SWITCH: a number of an error, and "all", "sync" or "meta" (LMDB's two first pages, which name the
 * newest state).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

/* What is no write at a place of a file. */
enum { SOMEWHERE = -1, SYNC = -2 };

static int fails(int fd, off64_t offset) {
  const char *root = getenv("BROKEN_DISK"), *control = getenv("BROKEN_DISK_SWITCH");
  if (root == NULL || control == NULL) return 0;
  char link[64], path[4096], text[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0 || strncmp(path, root, strlen(root)) != 0) return 0;
  path[length] = 0;
  int file = (int)syscall(SYS_openat, AT_FDCWD, control, O_RDONLY);
  if (file < 0) return 0;
  length = syscall(SYS_read, file, text, sizeof text - 1);
  syscall(SYS_close, file);
  if (length <= 0) return 0;
  text[length] = 0;
  if (strstr(text, "meta") != NULL && (strstr(path, "data.mdb") == NULL || offset < 0 || offset >= 8192)) return 0;
  if (strstr(text, "sync") != NULL && offset != SYNC) return 0;
  errno = atoi(text);
  return errno;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int fd, const void *data, size_t size) {
  return fails(fd, SOMEWHERE) ? -1 : REAL(write)(fd, data, size);
}
ssize_t writev(int fd, const struct iovec *parts, int count) {
  return fails(fd, SOMEWHERE) ? -1 : REAL(writev)(fd, parts, count);
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
  return fails(fd, at) ? -1 : REAL(pwrite)(fd, data, size, at);
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
  return fails(fd, at) ? -1 : REAL(pwrite64)(fd, data, size, at);
}
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t at) {
  return fails(fd, at) ? -1 : REAL(pwritev64)(fd, parts, count, at);
}
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) {
  return fails(fd, at) ? -1 : REAL(pwritev)(fd, parts, count, at);
}
int fdatasync(int fd) { return fails(fd, SYNC) ? -1 : REAL(fdatasync)(fd); }
int fsync(int fd) { return fails(fd, SYNC) ? -1 : REAL(fsync)(fd); }
