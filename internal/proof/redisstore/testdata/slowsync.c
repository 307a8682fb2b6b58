// A disk that never gets done with syncing in the background, to be preloaded.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/syscall.h>
#include <unistd.h>

int fdatasync(int fd)
{
	if (syscall(SYS_gettid) != getpid()) // the server's own thread goes on
		pause();
	return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(fd);
}
