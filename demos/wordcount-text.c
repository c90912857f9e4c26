/* SPDX-License-Identifier: BSD-2-Clause */
/* wordcount-text.c - the text whose words are counted: given, or found on this system. */
#include "config.h"

#include "wordcount.h"

#include <fnmatch.h>
#include <ftw.h>

#define ENOUGH ((size_t)10 << 20) /* with fewer bytes of text, another place is searched */
#define PLENTY ((size_t)32 << 20) /* ... with more, none is */

struct text text;
static size_t room; /* for text.bytes */
static size_t limit;

/* Where text is found on most systems. */
static const struct place {
	const char *root;
	size_t until; /* read only while there is less text than this */
	const char *patterns[8];
} places[] = {
    {"/usr/share/common-licenses", PLENTY, {"*"}},
    {"/usr/share/licenses", PLENTY, {"*"}},
    {"/usr/share/doc", PLENTY, {"copyright", "README*", "NEWS*", "change*", "*.txt", "*.md"}},
    {"/usr/include", ENOUGH, {"*.h"}},
    {"/usr/lib", ENOUGH, {"*.txt", "*.md", "*.h", "*.py", "*.pl", "*.pm", "*.pod"}},
};

/* Append a file. Returns 0, or an errno; then the text is as before. */
static int read_file(const char *path, bool binary_too)
{
	FILE *f = strcmp(path, "-") ? fopen(path, "r") : stdin;
	size_t start = text.length, got = 1;
	int e = f ? 0 : errno;

	while (!e && got && text.length < limit) {
		if (room - text.length < 65536) {
			room = 2 * room + 65536;
			text.bytes = realloc(text.bytes, room);
			if (!text.bytes)
				die("out of memory");
		}
		size_t wanted = limit - text.length < 65535 ? limit - text.length : 65535;
		errno = 0;
		got = fread(text.bytes + text.length, 1, wanted, f);
		e = errno;
		if (!binary_too && memchr(text.bytes + text.length, 0, got))
			e = EILSEQ;
		text.length += got;
	}
	if (f && f != stdin)
		fclose(f);
	if (e)
		text.length = start;
	else
		text.bytes[text.length++] = '\n'; /* words do not run from one file into the next */
	text.files += !e;
	return e;
}

static const struct place *place;

static int visit(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	for (const char *const *p = place->patterns; type == FTW_F && *p; p++) {
		if (fnmatch(*p, path + ftw->base, 0) == 0) {
			/* Files that cannot be read, or are no text, are left out. */
			read_file(path, false);
			break;
		}
	}
	return text.length >= place->until || text.length >= limit;
}

static void find_text(void)
{
	for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
		place = &places[i];
		if (text.length < place->until && text.length < limit)
			nftw(place->root, visit, 32, FTW_PHYS);
	}
}

/* The lower case of a byte that belongs to a word (as all of UTF-8 beyond ASCII does), or 0. */
unsigned char fold[256];

static void make_fold(void)
{
	for (int c = 'a'; c <= 'z'; c++)
		fold[c] = fold[c - 'a' + 'A'] = (unsigned char)c;
	for (int c = 128; c < 256; c++)
		fold[c] = (unsigned char)c;
}

size_t words_in_text(void)
{
	size_t words = 0;
	bool inside = false;

	for (size_t i = 0; i < text.length; i++) {
		bool letter = fold[(unsigned char)text.bytes[i]];
		words += letter && !inside;
		inside = letter;
	}
	return words;
}

void read_text(char **files, size_t most)
{
	limit = most;
	for (char **file = files; *file && text.length < limit; file++) {
		int e = read_file(*file, true);
		if (e)
			die("%s: %s", *file, strerror(e));
	}
	if (!*files)
		find_text();
	make_fold();
}
