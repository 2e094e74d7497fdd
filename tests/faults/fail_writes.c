/*
 * A disk that fails when a test wants it to: preloaded into a process, it answers writes to regular files with the
 * error number that stands in the file named by FAIL_WRITES, and does nothing while that file is not there.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The error to answer with; 0 for none. Standard streams are left alone, whatever they are. */
static int wanted(int descriptor)
{
	const char *name = getenv("FAIL_WRITES");
	struct stat status;
	char digits[8] = { 0 };
	int file;

	if (!name || descriptor <= 2)
		return 0;
	if (fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode))
		return 0;
	file = (int)syscall(SYS_openat, AT_FDCWD, name, O_RDONLY | O_CLOEXEC);
	if (file < 0)
		return 0;
	if (syscall(SYS_read, file, digits, sizeof digits - 1) < 0)
		digits[0] = 0;
	syscall(SYS_close, file);
	return atoi(digits);
}

#define REFUSE(descriptor)                          \
	do {                                        \
		int error = wanted(descriptor);     \
		if (error) {                        \
			errno = error;              \
			return -1;                  \
		}                                   \
	} while (0)

ssize_t pwrite64(int descriptor, const void *octets, size_t count, off64_t offset)
{
	REFUSE(descriptor);
	return syscall(SYS_pwrite64, descriptor, octets, count, offset);
}

ssize_t pwrite(int descriptor, const void *octets, size_t count, off_t offset)
{
	return pwrite64(descriptor, octets, count, offset);
}

ssize_t write(int descriptor, const void *octets, size_t count)
{
	REFUSE(descriptor);
	return syscall(SYS_write, descriptor, octets, count);
}

int ftruncate64(int descriptor, off64_t length)
{
	REFUSE(descriptor);
	return (int)syscall(SYS_ftruncate, descriptor, length);
}

int ftruncate(int descriptor, off_t length)
{
	return ftruncate64(descriptor, length);
}
