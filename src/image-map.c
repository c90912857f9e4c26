/* SPDX-License-Identifier: BSD-2-Clause */
/* image-map.c - changed pages, as a map in the terminal. */
#include "config.h"

#include "image-command.h"

#include <langinfo.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { ROWS = 8, NARROW = 20, WIDE = 400, USUAL = 80 };

uint64_t map_pages_in_cell(const struct map *map, uint64_t cells)
{
	uint64_t n = 1;

	while ((map->pages + n - 1) / n > cells)
		n *= 2;
	return n;
}

unsigned map_shade(const struct map *map, uint64_t first, uint64_t pages, size_t *run)
{
	const struct runs *r = map->runs;
	uint64_t end = first + pages, changed = 0;

	for (; *run < r->n && r->run[*run].page < end; ++*run) {
		uint64_t from = r->run[*run].page, to = from + r->run[*run].pages;
		from = from > first ? from : first;
		changed += (to < end ? to : end) - from;
		if (to > end) /* the next cell has some of it too */
			break;
	}
	return (unsigned)((changed * MAP_SHADES + pages - 1) / pages);
}

static unsigned width_of(FILE *to)
{
	struct winsize size;
	const char *columns = getenv("COLUMNS");
	unsigned width = columns ? (unsigned)atoi(columns) : 0;

	if (ioctl(fileno(to), TIOCGWINSZ, &size) == 0 && size.ws_col)
		width = size.ws_col;
	return width < NARROW ? USUAL : width < WIDE ? width : WIDE;
}

/* Whether the terminal shows more than ASCII. */
static bool has_blocks(void)
{
	const char *plain = getenv("NO_COLOR"), *term = getenv("TERM");

	return !(plain && *plain) && !(term && strcmp(term, "dumb") == 0) &&
	       setlocale(LC_CTYPE, "") && strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

void map_print(const struct map *map, FILE *to)
{
	static const char *const blocks[] = {"·", "░", "▒", "▓", "█"};
	static const char *const ascii[] = {".", "-", "+", "*", "#"};
	const char *const *shades = has_blocks() ? blocks : ascii;
	unsigned width = width_of(to), column = 0;
	uint64_t n = map_pages_in_cell(map, (uint64_t)width * ROWS);
	size_t run = 0;

	fprintf(to, "\nfrom 0x%llx on, %llu page%s a sign: %s none, %s to %s all differ\n",
		(unsigned long long)map->base, (unsigned long long)n, n == 1 ? "" : "s", shades[0],
		shades[1], shades[MAP_SHADES]);
	for (uint64_t at = 0; at < map->pages; at += n) {
		uint64_t pages = map->pages - at < n ? map->pages - at : n;
		fputs(shades[map_shade(map, at, pages, &run)], to);
		if (++column == width || at + n >= map->pages) {
			putc('\n', to);
			column = 0;
		}
	}
}
