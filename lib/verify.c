/* SPDX-License-Identifier: BSD-2-Clause */
/* verify.c - see verify.h. */
#include "config.h"

#include "arena.h"
#include "error.h"
#include "range.h"
#include "records.h"
#include "snapshot-read.h"
#include "track.h"
#include "verify.h"

#include <errno.h>
#include <string.h>

/* Four lanes of multiply and rotate, as in xxHash (Collet, "xxHash fast digest algorithm", 2016).
   One process writes and reads the hash, and nobody attacks it. n: a multiple of 32. (Writes of
   other threads before the cut look like races to ThreadSanitizer.) */
TRACK_UNSEEN static uint64_t hash(const void *p, size_t n)
{
	const uint64_t prime = 0x9e3779b185ebca87u;
	uint64_t lane[4] = {1, 2, 3, 4}, h = 0, word;

	track_pause();
	for (size_t i = 0; i < n; i += 8) {
		uint64_t *l = &lane[i / 8 % 4];
		memcpy(&word, (const char *)p + i, sizeof word);
		*l = (*l + word * prime) << 31 | (*l + word * prime) >> 33;
		*l *= prime;
	}
	track_resume();
	for (int i = 0; i < 4; i++)
		h = (h ^ lane[i]) * prime;
	h ^= h >> 29;
	track_defined(&h, sizeof h); /* even if parts of the page are not */
	return h;
}

static char zeros[1 << 16]; /* a page; nobody writes to it */

/* Hash a page, by one of the heap's mappings. A page without memory is not given any. */
static uint64_t hash_at(struct cowarena *arena, size_t page, const char *at)
{
	size_t size = arena_page_size(arena);
	bool hole = size <= sizeof zeros && range_is_hole(arena, page);

	return hash(hole ? zeros : at, size);
}

static uint64_t hash_live(struct cowarena *arena, size_t page)
{
	return hash_at(arena, page, arena_address(arena, page));
}

/* Hash a page as the snapshot that is being taken has it: what was made private just now may be
   written to already (private.h). */
static uint64_t hash_cut(struct cowarena *arena, size_t page)
{
	if (bitmap_test(&arena->table.own, page))
		return hash(arena_address(arena, page), arena_page_size(arena));
	return hash_at(arena, page, arena_past(arena, page));
}

static size_t bytes_of(const struct cowarena_snapshot *s)
{
	return os_round_up(s->hashed * sizeof *s->hashes, arena_page_size(s->arena));
}

int verify_prepare(struct cowarena_snapshot *s, size_t pages)
{
	if (!(s->arena->flags & COWARENA_VERIFY))
		return 0;
	s->hashed = pages;
	s->hashes = os_map_anonymous(bytes_of(s));
	return s->hashes ? 0 : -1;
}

void verify_record(struct cowarena_snapshot *s)
{
	for (size_t i = 0; s->hashes && i < s->hashed; i++)
		s->hashes[i] = hash_cut(s->arena, i);
}

void verify_forget(struct cowarena_snapshot *s)
{
	if (s->hashes)
		os_unmap(s->hashes, bytes_of(s));
	s->hashes = NULL;
}

/* found: the page's hash. view: where the page was read, or NULL. */
static void expect(struct cowarena_snapshot *s, size_t page, const struct cowarena_view *view,
		   uint64_t found, const char *what)
{
	if (found == s->hashes[page])
		return;
	const struct engine *engine = s->arena->engine; /* which may be another soon */
	if (engine->lost && engine->lost(s->arena))
		return;
	/* A snapshot or view that was given up meanwhile reports that itself. */
	if (snapshot_usable(s) == 0 && !(view && atomic_load(&view->broken)))
		error_fatal(what, arena_address(s->arena, page));
}

void verify_read(struct cowarena_snapshot *s, size_t offset, size_t n)
{
	size_t size = arena_page_size(s->arena), first = offset >> s->arena->page_shift;
	int e = errno;
	char *copy = s->hashes ? records_take(size) : NULL;

	/* Without memory for the copy, this check is left out. */
	for (size_t i = first; copy && i << s->arena->page_shift < offset + n; i++) {
		snapshot_copy(s, copy, i << s->arena->page_shift, size);
		expect(s, i, NULL, hash(copy, size),
		       "a page of a snapshot has changed since it was taken");
	}
	records_give(copy, size);
	errno = e;
}

void verify_all(struct cowarena_snapshot *s)
{
	verify_read(s, 0, s->hashed << s->arena->page_shift);
}

void verify_live(struct cowarena_snapshot *s)
{
	for (size_t i = 0; s->hashes && i < s->hashed; i++)
		expect(s, i, NULL, hash_live(s->arena, i),
		       "a page is not what it was after a rollback");
}

void verify_view(const struct cowarena_view *view)
{
	struct cowarena_snapshot *s = view->snapshot;

	if (!s->hashes || !view->sealed || atomic_load(&view->broken))
		return;
	/* A view that breaks meanwhile reports that itself. */
	for (size_t i = 0; i < view->pages; i++)
		expect(s, i, view,
		       hash(view->base + (i << s->arena->page_shift), arena_page_size(s->arena)),
		       "a page of a read-only view is not what it was at the snapshot");
}
