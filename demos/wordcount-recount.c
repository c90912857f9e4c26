/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * wordcount-recount.c - the independent check: another count of the same words, without an arena,
 * a hash table or a second thread.
 */
#include "config.h"

#include "wordcount.h"

#include <ctype.h>
#include <search.h>

struct tally {
	const char *word;
	size_t length;
	uint64_t hash, count;
};

static int compare_words(const void *a, const void *b)
{
	const struct tally *x = a, *y = b;

	if (x->length != y->length)
		return x->length < y->length ? -1 : 1;
	return memcmp(x->word, y->word, x->length);
}

static bool in_word(char c)
{
	return isalpha((unsigned char)c) || (unsigned char)c >= 128;
}

/* The simple way: the C library's binary tree, for all prefixes of the text in one pass. */
void recount(struct job *jobs, size_t n, struct progress *progress)
{
	struct totals t = {0};
	void *tree = NULL;
	size_t at = 0;

	for (size_t i = 0; i < text.length; i++)
		text.bytes[i] = (char)tolower((unsigned char)text.bytes[i]);
	for (size_t job = 0; job < n; job++) {
		while (at < jobs[job].end) {
			size_t start = at;
			while (at < jobs[job].end && in_word(text.bytes[at]))
				at++;
			if (at == start) {
				at++;
				continue;
			}
			struct tally key = {text.bytes + start, at - start, 0, 0};
			struct tally **node = (struct tally **)tsearch(&key, &tree, compare_words);
			if (node && *node == &key) {
				*node = allocate(1, sizeof key);
				**node = key;
				(*node)->hash =
				    word_hash((const unsigned char *)key.word, key.length);
				t.distinct++;
			} else if (node) {
				t.sum -= pair_sum((*node)->hash, (*node)->count);
			} else {
				die("out of memory");
			}
			t.sum += pair_sum((*node)->hash, ++(*node)->count);
			t.words++;
		}
		jobs[job].wanted = t;
		progress_show(progress, "recounting", at, text.length);
	}
	progress_clear(progress);
	tdestroy(tree, free);
}

/* Returns how many snapshots were right. Prints the others. */
size_t verify(const struct job *jobs, size_t n)
{
	size_t right = 0;

	for (size_t i = 0; i < n; i++) {
		const struct totals *f = &jobs[i].found, *w = &jobs[i].wanted;
		if (f->words == w->words && f->distinct == w->distinct && f->sum == w->sum) {
			right++;
			continue;
		}
		fprintf(stderr,
			"%s: snapshot %zu: the walker found %" PRIu64 " words, %" PRIu64
			" distinct, sum %016" PRIx64 "; recounted: %" PRIu64 ", %" PRIu64
			", %016" PRIx64 "\n",
			demo_name(), i + 1, f->words, f->distinct, f->sum, w->words, w->distinct,
			w->sum);
	}
	return right;
}
