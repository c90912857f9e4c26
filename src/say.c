/* SPDX-License-Identifier: BSD-2-Clause */
/* say.c - messages and JSON, for all subcommands. */
#include "config.h"

#include "command.h"

#include <stdarg.h>

#ifdef HAVE_LIBSIGSEGV
const char trap_name[] = "libsigsegv";
#else
const char trap_name[] = "sigaction";
#endif

int fail(const char *format, ...)
{
	va_list ap;

	fputs("cowarena: ", stderr);
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
	return EXIT_ERROR;
}

void json_text(FILE *to, const char *s)
{
	if (!*s) {
		fputs("null", to);
		return;
	}
	putc('"', to);
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			putc('\\', to);
		if ((unsigned char)*s < ' ')
			fprintf(to, "\\u%04x", (unsigned)*s);
		else
			putc(*s, to);
	}
	putc('"', to);
}
