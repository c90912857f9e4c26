/* SPDX-License-Identifier: BSD-2-Clause */
/* image-progress.c - a bar for those who wait. */
#include "config.h"

#include "image-command.h"

#include <time.h>
#include <unistd.h>

enum { WIDTH = 40 };

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void progress(const char *what, uint64_t done, uint64_t total)
{
	static double begun, drawn;
	static bool shown;
	double now = seconds();

	if (done >= total) {
		if (shown)
			fputs("\r\033[K", stderr);
		begun = drawn = 0;
		shown = false;
		return;
	}
	if (begun == 0)
		begun = drawn = now;
	/* Nothing for half a second, then ten times in a second. */
	if (now - begun < 0.5 || now - drawn < 0.1 || !isatty(STDERR_FILENO))
		return;
	int filled = (int)((double)done / (double)total * WIDTH);
	fprintf(stderr, "\r%s [%.*s%*s] %d %%\033[K", what, filled,
		"########################################", WIDTH - filled, "",
		(int)((double)done / (double)total * 100));
	drawn = now;
	shown = true;
}
