/* SPDX-License-Identifier: BSD-2-Clause */
/* image-svg.c - changed pages, as a map in an SVG file. */
#include "config.h"

#include "bench.h"
#include "command.h"
#include "image-command.h"

#include <errno.h>
#include <string.h>

enum {
	COLUMNS = 64,
	ROWS = 64,
	CELL = 12,
	LEFT = 150,
	TOP = 78,
	RIGHT = 24,
	LEGEND = 56,
	NAME = 40
};

/* The background is part of the picture, so that it can be read wherever it is shown. */
static const char style[] =
    "<style>\n"
    "text { font: 13px sans-serif; fill: #1f2328 }\n"
    ".title { font-size: 16px; font-weight: bold }\n"
    ".address { font-family: monospace; font-size: 12px; text-anchor: end }\n"
    ".paper { fill: #ffffff }\n"
    ".s0 { fill: #e9ecef } .s1 { fill: #b6d4f2 } .s2 { fill: #6ba5dd } .s3 { fill: #2f74b8 }\n"
    ".s4 { fill: #0d3b6e }\n"
    "@media (prefers-color-scheme: dark) {\n"
    "text { fill: #e6edf3 }\n"
    ".paper { fill: #0d1117 }\n"
    ".s0 { fill: #21262d } .s1 { fill: #1b4a7a } .s2 { fill: #2f74b8 } .s3 { fill: #6ba5dd }\n"
    ".s4 { fill: #d3e7fb }\n"
    "}\n"
    "</style>\n";

static void put_text(FILE *to, const char *s)
{
	for (; *s; s++)
		if (*s == '<')
			fputs("&lt;", to);
		else if (*s == '&')
			fputs("&amp;", to);
		else
			putc((unsigned char)*s < ' ' ? '?' : *s, to);
}

/* The end of a long name; from the beginning of a character on. */
static void put_name(FILE *to, const char *name)
{
	size_t n = strlen(name);

	if (n > NAME) {
		name += n - NAME;
		while ((*name & 0xc0) == 0x80)
			name++;
		fputs("...", to);
	}
	put_text(to, name);
}

static void put_cell(FILE *to, uint64_t column, uint64_t row, uint64_t cells, unsigned shade)
{
	fprintf(to, "<rect class=\"s%u\" x=\"%llu\" y=\"%llu\" width=\"%llu\" height=\"%d\"/>\n",
		shade, (unsigned long long)(LEFT + column * CELL),
		(unsigned long long)(TOP + row * CELL), (unsigned long long)(cells * CELL - 1),
		CELL - 1);
}

static uint64_t address_of(const struct map *map, uint64_t page)
{
	return map->base + page * map->page_size;
}

/* Neighbours of one shade are one rectangle. */
static void put_row(const struct map *map, FILE *to, uint64_t row, uint64_t n, size_t *run)
{
	uint64_t first = row * COLUMNS * n, from = 0, column = 0;
	unsigned shade = 0;

	if (row % 4 == 0)
		fprintf(to, "<text class=\"address\" x=\"%d\" y=\"%llu\">0x%llx</text>\n",
			LEFT - 10, (unsigned long long)(TOP + row * CELL + CELL - 2),
			(unsigned long long)address_of(map, first));
	for (; column < COLUMNS && first + column * n < map->pages; column++) {
		uint64_t at = first + column * n, left = map->pages - at;
		unsigned next = map_shade(map, at, left < n ? left : n, run);
		if (column && next != shade) {
			put_cell(to, from, row, column - from, shade);
			from = column;
		}
		shade = next;
	}
	put_cell(to, from, row, column - from, shade);
}

static void put_legend(FILE *to, uint64_t y)
{
	static const char *const words[] = {"none", "up to 1/4", "1/2", "3/4", "all differ"};

	for (unsigned i = 0; i <= MAP_SHADES; i++)
		fprintf(to,
			"<rect class=\"s%u\" x=\"%u\" y=\"%llu\" width=\"%d\" height=\"%d\"/>\n"
			"<text x=\"%u\" y=\"%llu\">%s</text>\n",
			i, LEFT + i * 130, (unsigned long long)y, CELL - 1, CELL - 1,
			LEFT + i * 130 + 18, (unsigned long long)y + CELL - 2, words[i]);
}

static void draw(const struct map *map, FILE *to, const char *a, const char *b)
{
	uint64_t n = map_pages_in_cell(map, COLUMNS * ROWS);
	uint64_t rows = (map->pages + COLUMNS * n - 1) / (COLUMNS * n);
	unsigned width = LEFT + COLUMNS * CELL + RIGHT;
	unsigned long long height = TOP + rows * CELL + LEGEND;
	size_t run = 0;

	fprintf(to,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%u\" height=\"%llu\" "
		"viewBox=\"0 0 %u %llu\" role=\"img\">\n%s"
		"<rect class=\"paper\" width=\"%u\" height=\"%llu\"/>\n"
		"<text class=\"title\" x=\"24\" y=\"32\">",
		width, height, width, height, style, width, height);
	put_name(to, a);
	fputs(" and ", to);
	put_name(to, b);
	fprintf(to,
		"</text>\n<text x=\"24\" y=\"54\">%llu of %llu pages differ; a square is %llu "
		"page%s of %zu bytes</text>\n",
		(unsigned long long)map->runs->pages, (unsigned long long)map->pages,
		(unsigned long long)n, n == 1 ? "" : "s", map->page_size);
	for (uint64_t row = 0; row < rows; row++)
		put_row(map, to, row, n, &run);
	put_legend(to, TOP + rows * CELL + 22);
	fputs("</svg>\n", to);
}

int map_svg(const struct map *map, const char *path, const char *a, const char *b)
{
	struct output output;
	FILE *to = output_open(&output, path);

	if (to)
		draw(map, to, a, b);
	if (!to || output_close(&output))
		return fail("--svg: '%s' cannot be written (%s): name a file that can be written",
			    path, strerror(errno));
	return EXIT_OK;
}
