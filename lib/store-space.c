/* SPDX-License-Identifier: BSD-2-Clause */
/* store-space.c - see store-space.h. */
#include "config.h"

#include "store-space.h"

#include "os.h"
#include "records.h"
#include "store.h"

#include <errno.h>
#include <string.h>

#define CAPACITY_MIN 64 /* words of a set */

static size_t bytes_of(size_t capacity)
{
	return SPACE_SETS * capacity * sizeof(uint64_t);
}

int space_reserve(struct space *s, uint64_t blocks)
{
	size_t capacity = s->capacity ? s->capacity : CAPACITY_MIN;

	while (capacity * 64 < blocks)
		capacity *= 2;
	if (capacity == s->capacity)
		return 0;
	uint64_t *memory = records_take(bytes_of(capacity));
	if (!memory) {
		errno = ENOMEM;
		return -1;
	}
	for (int set = 0; set < SPACE_SETS; set++) {
		uint64_t *words = memory + (size_t)set * capacity;
		if (s->capacity)
			memcpy(words, s->words[set], s->capacity * sizeof *words);
		s->words[set] = words;
	}
	records_give(s->memory, bytes_of(s->capacity));
	s->memory = memory;
	s->capacity = capacity;
	return 0;
}

void space_destroy(struct space *s)
{
	records_give(s->memory, bytes_of(s->capacity));
	memset(s, 0, sizeof *s);
}

bool space_add(struct space *s, enum space_set set, uint64_t block)
{
	uint64_t bit = (uint64_t)1 << block % 64, old = s->words[set][block / 64];

	s->words[set][block / 64] |= bit;
	return old & bit;
}

void space_remove(struct space *s, enum space_set set, uint64_t block)
{
	s->words[set][block / 64] &= ~((uint64_t)1 << block % 64);
}

void space_join(struct space *s, enum space_set to, enum space_set from)
{
	for (size_t i = 0; i < s->capacity; i++)
		s->words[to][i] |= s->words[from][i];
}

void space_clear(struct space *s, enum space_set set)
{
	if (s->capacity)
		memset(s->words[set], 0, s->capacity * sizeof(uint64_t));
}

void space_move(struct space *s, enum space_set to, enum space_set from)
{
	space_join(s, to, from);
	space_clear(s, from);
}

bool space_meet(const struct space *s, enum space_set a, enum space_set b)
{
	for (size_t i = 0; i < s->capacity; i++)
		if (s->words[a][i] & s->words[b][i])
			return true;
	return false;
}

/* A bit for each block that is in one of the first sets. */
static uint64_t word_of(const struct space *s, size_t i, enum space_set end)
{
	uint64_t used = i ? 0 : ((uint64_t)1 << STORE_FIRST) - 1;

	for (unsigned set = 0; set < end; set++)
		used |= s->words[set][i];
	return used;
}

/* A bit for each block that is not free. */
static uint64_t used_word(const struct space *s, size_t i)
{
	return word_of(s, i, SPACE_HOLE);
}

uint64_t space_take(struct space *s)
{
	for (size_t i = (size_t)(s->hint / 64); i < s->capacity; i++) {
		uint64_t vacant = ~used_word(s, i);
		if (!vacant)
			continue;
		uint64_t block = i * 64 + (unsigned)__builtin_ctzll(vacant);
		space_add(s, SPACE_ATTEMPT, block);
		space_remove(s, SPACE_HOLE, block);
		s->hint = block + 1;
		if (block >= s->length)
			s->length = block + 1;
		return block;
	}
	uint64_t end = (uint64_t)s->capacity * 64;
	if (space_reserve(s, end + 1))
		return 0;
	s->hint = end;
	return space_take(s);
}

void space_rewind(struct space *s)
{
	s->hint = 0;
}

static uint64_t end_of(const struct space *s, enum space_set end)
{
	for (size_t i = s->capacity; i-- > 0;) {
		uint64_t used = word_of(s, i, end);
		if (used)
			return i * 64 + 64 - (unsigned)__builtin_clzll(used);
	}
	return STORE_FIRST;
}

uint64_t space_end(const struct space *s)
{
	return end_of(s, SPACE_HOLE);
}

uint64_t space_reach(const struct space *s)
{
	return end_of(s, SPACE_DOUBT);
}

uint64_t space_used(const struct space *s)
{
	uint64_t n = 0;

	for (size_t i = 0; i < s->capacity; i++)
		n += (unsigned)__builtin_popcountll(used_word(s, i));
	return n;
}

uint64_t space_backed(const struct space *s)
{
	uint64_t n = s->length;

	for (size_t i = 0; i < s->capacity; i++)
		n -= (unsigned)__builtin_popcountll(s->words[SPACE_HOLE][i]);
	return n;
}

void space_cut(struct space *s, uint64_t blocks)
{
	uint64_t *holes = s->words[SPACE_HOLE];

	s->length = blocks;
	if (blocks % 64)
		holes[blocks / 64] &= ((uint64_t)1 << blocks % 64) - 1;
	for (size_t i = (size_t)((blocks + 63) / 64); i < s->capacity; i++)
		holes[i] = 0;
}

static bool is_waste(const struct space *s, uint64_t block)
{
	uint64_t not = used_word(s, block / 64) | s->words[SPACE_HOLE][block / 64];

	return !(not >> block % 64 & 1);
}

bool space_next_waste(const struct space *s, uint64_t from, uint64_t *first, uint64_t *n)
{
	uint64_t room = (uint64_t)s->capacity * 64, end = s->length < room ? s->length : room;

	while (from < end && !is_waste(s, from))
		from++;
	*first = from;
	while (from < end && is_waste(s, from))
		from++;
	*n = from - *first;
	return *n != 0;
}
