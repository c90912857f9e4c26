/* SPDX-License-Identifier: BSD-2-Clause */
/* log.c - see log.h. */
#include "config.h"

#include "base/log.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define LINE 1024

static int log_fd = STDOUT_FILENO;

int log_open(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);

	if (fd < 0)
		return -1;
	log_fd = fd;
	return 0;
}

void log_line(enum log_level level, const char *format, ...)
{
	static const char marks[] = {[LOG_VERBOSE] = '-', [LOG_NOTICE] = '*', [LOG_WARNING] = '#'};
	char line[LINE], when[32];
	struct timespec now;
	struct tm tm;
	va_list args;

	clock_gettime(CLOCK_REALTIME, &now);
	localtime_r(&now.tv_sec, &tm);
	strftime(when, sizeof when, "%d %b %Y %H:%M:%S", &tm);
	int n = snprintf(line, sizeof line, "%d:M %s.%03ld %c ", (int)getpid(), when,
			 now.tv_nsec / 1000000, marks[level]);
	va_start(args, format);
	n += vsnprintf(line + n, sizeof line - (size_t)n, format, args);
	va_end(args);
	if (n > LINE - 2)
		n = LINE - 2;
	line[n++] = '\n';
	/* One write per line, so that the lines of different threads do not mix. If it fails, there
	   is nobody to tell. */
	if (write(log_fd, line, (size_t)n) < 0)
		return;
}
