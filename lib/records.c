/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * records.c - see records.h.
 *
 *	records_take <-- free, a stack of each class <-- rest, a ring of each class <-- records_give
 *	     ^
 *	     +-- never used, from the quarries
 *
 * Memory is mapped in quarries. Each quarry is as large as all before it together, and is divided
 * into units of 64 bytes with numbers of 32 bits. A record is a power of two of units. A record
 * that is given back takes the place of the one that has rested longest in the ring of its class;
 * that one goes to the stack. Atomic operations exchange them.
 */
#include "config.h"

#include "os.h"
#include "point.h"
#include "records.h"
#include "track.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#define UNIT_SHIFT 6
#define CLASSES 11  /* 64 bytes to RECORDS_SMALL */
#define RESTING 256 /* records of a class, but no more than RESTING_BYTES of them */
#define RESTING_BYTES ((size_t)256 << 10)

_Static_assert(RECORDS_ALIGN == 1 << UNIT_SHIFT, "a unit is what records are aligned to");
_Static_assert(RECORDS_SMALL == (size_t)RECORDS_ALIGN << (CLASSES - 1), "the largest class");

#define FIRST_SHIFT 12 /* units of the first quarry: 256 KiB */
#define QUARRIES (32 - FIRST_SHIFT + 1)

/* The links of the stacks lie apart from the records: a thread that pops may still read the link of
   a record that another thread has already popped and is writing to. */
struct quarry {
	char *records;
	_Atomic uint32_t *links; /* a link for each unit */
};

static struct {
	char *_Atomic quarry[QUARRIES]; /* links, then records */
	_Atomic uint32_t used;          /* units; unit 0 is no record, so that 0 is none */
	struct {
		_Atomic uint64_t free; /* a tag above the first unit of the top record */
		_Atomic uint32_t next; /* cell of `resting` */
		_Atomic uint32_t resting[RESTING];
	} class[CLASSES];
} pool = {.used = 1};

/* ---- units ---- */

static unsigned quarry_of(uint32_t unit)
{
	unsigned doublings = unit >> FIRST_SHIFT ? 32 - (unsigned)__builtin_clz(unit) : FIRST_SHIFT;

	return doublings - FIRST_SHIFT;
}

static size_t quarry_begin(unsigned i)
{
	return i ? (size_t)1 << (FIRST_SHIFT + i - 1) : 0;
}

static size_t quarry_units(unsigned i)
{
	return (size_t)1 << (i ? FIRST_SHIFT + i - 1 : FIRST_SHIFT);
}

static size_t links_size(unsigned i)
{
	return os_round_up(quarry_units(i) * sizeof(uint32_t), os_page_size());
}

static size_t quarry_size(unsigned i)
{
	return links_size(i) + (quarry_units(i) << UNIT_SHIFT);
}

static struct quarry quarry(unsigned i)
{
	/* Acquire: pairs with open_quarry(). */
	char *p = atomic_load_explicit(&pool.quarry[i], memory_order_acquire);

	return (struct quarry){p ? p + links_size(i) : NULL, (_Atomic uint32_t *)(void *)p};
}

static void *unit_address(uint32_t unit)
{
	unsigned i = quarry_of(unit);

	return quarry(i).records + ((unit - quarry_begin(i)) << UNIT_SHIFT);
}

static _Atomic uint32_t *link_of(uint32_t unit)
{
	unsigned i = quarry_of(unit);

	return &quarry(i).links[unit - quarry_begin(i)];
}

/* The quarry that holds p, or QUARRIES. */
static unsigned find_quarry(const void *p)
{
	for (unsigned i = 0; i < QUARRIES; i++) {
		const char *records = quarry(i).records;
		if (!records) /* no later quarry is open either */
			break;
		if ((size_t)((const char *)p - records) < quarry_units(i) << UNIT_SHIFT)
			return i;
	}
	return QUARRIES;
}

static uint32_t unit_of(const void *p)
{
	unsigned i = find_quarry(p);

	return (uint32_t)(quarry_begin(i) +
			  ((size_t)((const char *)p - quarry(i).records) >> UNIT_SHIFT));
}

/* ---- never used ---- */

static int open_quarry(unsigned i)
{
	char *none = NULL;

	if (quarry(i).records)
		return 0;
	char *p = os_map_anonymous(quarry_size(i));
	if (!p)
		return -1;
	TEST_POINT();
	if (atomic_compare_exchange_strong(&pool.quarry[i], &none, p))
		track_root(p, quarry_size(i));
	else /* another thread was faster */
		os_unmap(p, quarry_size(i));
	return 0;
}

/* Take n units that were never used; returns the first. 0 without memory. */
static uint32_t dig(uint32_t n)
{
	uint32_t used = atomic_load(&pool.used), unit;

	do {
		unit = used;
		/* No record lies across the end of a quarry. */
		if (quarry_of(unit) != quarry_of(unit + n - 1))
			unit = (uint32_t)quarry_begin(quarry_of(unit) + 1);
		if (unit > UINT32_MAX - 2 * n) {
			errno = ENOMEM;
			return 0;
		}
		if (open_quarry(quarry_of(unit)))
			return 0;
		TEST_POINT();
	} while (!atomic_compare_exchange_weak(&pool.used, &used, unit + n));
	return unit;
}

/* ---- given back ---- */

/* Treiber's stack; the tag makes the exchange fail if the top has gone and come back meanwhile. */
static void push(unsigned class, uint32_t unit)
{
	uint64_t top = atomic_load(&pool.class[class].free);

	do
		atomic_store(link_of(unit), (uint32_t)top);
	while (!atomic_compare_exchange_weak(&pool.class[class].free, &top,
					     ((top >> 32) + 1) << 32 | unit));
}

static uint32_t pop(unsigned class)
{
	uint64_t top = atomic_load(&pool.class[class].free);
	uint32_t unit;

	while ((unit = (uint32_t)top) != 0) {
		uint64_t next = ((top >> 32) + 1) << 32 | atomic_load(link_of(unit));
		TEST_POINT();
		if (atomic_compare_exchange_weak(&pool.class[class].free, &top, next))
			break;
	}
	return unit;
}

static uint32_t resting_cells(unsigned class)
{
	size_t most = RESTING_BYTES >> (UNIT_SHIFT + class);

	return most < RESTING ? (uint32_t)most : RESTING;
}

/* Lay the record to rest. Returns the record that has rested longest, or 0. */
static uint32_t rest(unsigned class, uint32_t unit)
{
	uint32_t cell = atomic_fetch_add(&pool.class[class].next, 1) % resting_cells(class);

	return atomic_exchange(&pool.class[class].resting[cell], unit);
}

/* Without other memory, take a resting record. */
static uint32_t wake(unsigned class)
{
	uint32_t unit = 0;

	for (uint32_t i = 0; i < resting_cells(class) && !unit; i++)
		unit = rest(class, 0);
	return unit;
}

/* ---- the records ---- */

static unsigned class_of(size_t n)
{
	return n <= RECORDS_ALIGN ? 0 : 64 - UNIT_SHIFT - (unsigned)__builtin_clzll(n - 1);
}

static size_t large_size(size_t n)
{
	return os_round_up(n, os_page_size());
}

void *records_take(size_t n)
{
	if (n > RECORDS_SMALL)
		return os_map_anonymous(large_size(n));
	unsigned class = class_of(n);
	uint32_t unit = pop(class);
	int e = errno;
	if (!unit) {
		unit = dig((uint32_t)1 << class);
		if (unit)
			return unit_address(unit); /* zero from the start */
		unit = wake(class);
	}
	if (!unit)
		return NULL;
	errno = e;
	return memset(unit_address(unit), 0, (size_t)RECORDS_ALIGN << class);
}

void records_give(void *p, size_t n)
{
	if (!p)
		return;
	if (n > RECORDS_SMALL) {
		os_unmap(p, large_size(n));
		return;
	}
	unsigned class = class_of(n);
	uint32_t unit = rest(class, unit_of(p));
	if (unit)
		push(class, unit);
}

bool records_holds(const void *p)
{
	return (uintptr_t)p % RECORDS_ALIGN == 0 && find_quarry(p) < QUARRIES;
}
