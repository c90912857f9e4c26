/* SPDX-License-Identifier: BSD-2-Clause */
/* wordcount.h - what the parts of wordcount share. */
#ifndef COWARENA_DEMOS_WORDCOUNT_H
#define COWARENA_DEMOS_WORDCOUNT_H

#include "common.h"

#define TOP 3 /* words that are printed of a snapshot */

/* wordcount-text.c: the text, one file after the other. */
struct text {
	char *bytes;
	size_t length, files;
};
extern struct text text;

/* The lower case of a byte that belongs to a word (as all of UTF-8 beyond ASCII does), or 0. */
extern unsigned char fold[256];

/* Read these files (ended by NULL), or text found on the system if there are none; at most `most`
   bytes. */
void read_text(char **files, size_t most);
size_t words_in_text(void);

/* What is compared between an index and the recount. */
struct totals {
	uint64_t words, distinct;
	uint64_t sum; /* over all words and their counts, in any order */
};

static inline uint64_t word_hash(const unsigned char *word, size_t length)
{
	uint64_t hash = 0xcbf29ce484222325; /* FNV-1a */

	for (size_t i = 0; i < length; i++)
		hash = (hash ^ word[i]) * 0x100000001b3;
	return hash;
}

static inline uint64_t pair_sum(uint64_t hash, uint64_t count)
{
	return mix(hash + count * 0x9e3779b97f4a7c15);
}

/* wordcount-index.c: the hash table in the arena. */
struct item {
	struct item *next;
	uint64_t hash, count;
	size_t length;
	unsigned char word[];
};

struct index {
	uint64_t words, distinct;
	size_t buckets; /* a power of two */
	struct item **table;
};

/* Make an empty index, which becomes the arena's root. */
struct index *make_index(cowarena *arena);
void count_word(cowarena *arena, struct index *index, const unsigned char *word, size_t length);

/* Walk the index as it was at a snapshot: its totals, and its most frequent words. `live`: its
   present address. */
struct totals walk_index(const cowarena_view *view, const struct index *live,
			 const struct item **top);

/* Snapshots, in the order in which they are taken and walked. */
struct job {
	cowarena_snapshot *snapshot;
	char label[8]; /* in the timeline */
	size_t end;    /* bytes of text counted by then */
	struct totals found, wanted;
};

/* wordcount-recount.c: count what each of n snapshots should have. Changes the text. */
void recount(struct job *jobs, size_t n, struct progress *progress);
/* Returns how many of them were right. Prints the others. */
size_t verify(const struct job *jobs, size_t n);

#endif
