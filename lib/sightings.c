/* SPDX-License-Identifier: BSD-2-Clause */
/* sightings.c - see sightings.h. */
#include "config.h"

#include "records.h"
#include "sightings.h"

#include <stdatomic.h>
#include <stdint.h>

#define SLOTS 60

struct slot {
	_Atomic uintptr_t base; /* 0: free */
	_Atomic size_t size;    /* 0 while it is being added or removed */
};

static struct block {
	struct slot slot[SLOTS];
	struct block *_Atomic next;
} first;

static bool claim(struct block *b, uintptr_t base, size_t n)
{
	for (size_t i = 0; i < SLOTS; i++) {
		uintptr_t none = 0;
		if (atomic_compare_exchange_strong(&b->slot[i].base, &none, base)) {
			atomic_store(&b->slot[i].size, n);
			return true;
		}
	}
	return false;
}

/* Append a block behind b, or use the one that another thread has appended. NULL without memory. */
static struct block *extend(struct block *b)
{
	struct block *more = records_take(sizeof *more), *none = NULL;

	if (more && !atomic_compare_exchange_strong(&b->next, &none, more))
		records_give(more, sizeof *more);
	return atomic_load(&b->next);
}

void sightings_add(const void *base, size_t n)
{
	for (struct block *b = &first; b && !claim(b, (uintptr_t)base, n);) {
		struct block *next = atomic_load(&b->next);
		b = next ? next : extend(b);
	}
}

void sightings_remove(const void *base)
{
	for (struct block *b = &first; b; b = atomic_load(&b->next))
		for (size_t i = 0; i < SLOTS; i++)
			if (atomic_load(&b->slot[i].base) == (uintptr_t)base) {
				atomic_store(&b->slot[i].size, 0);
				atomic_store(&b->slot[i].base, 0);
				return;
			}
}

bool sightings_hold(const void *address)
{
	for (struct block *b = &first; b; b = atomic_load(&b->next))
		for (size_t i = 0; i < SLOTS; i++) {
			uintptr_t base = atomic_load(&b->slot[i].base);
			size_t size = atomic_load(&b->slot[i].size);
			if ((uintptr_t)address - base < size &&
			    atomic_load(&b->slot[i].base) == base)
				return true;
		}
	return false;
}
