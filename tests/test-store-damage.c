/* SPDX-License-Identifier: BSD-2-Clause */
/* test-store-damage.c - stores that are damaged, or made to harm: refused, and never an arena of
   wrong bytes. */
#include "config.h"

#include "arena.h"
#include "stores.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* Not from malloc(), which could take the arena's place. */
#define STORE_MOST ((size_t)8 << 20)
#define NODE_MAX ((size_t)65536)

struct forged {
	unsigned char bytes[STORE_MOST];
	size_t n;
	struct store_header header;
	struct store_slot slot;
	unsigned which;
	struct store_entry
	    node[NODE_MAX / sizeof(struct store_entry)]; /* the root, the only node */
};

static struct forged forged, changed, other;

static unsigned char *block_of(struct forged *f, uint64_t block)
{
	ck_assert_uint_lt(block, f->n / page_size());
	return f->bytes + block * page_size();
}

static void read_bytes(struct forged *f)
{
	struct stat status;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	ck_assert(fd >= 0 && fstat(fd, &status) == 0);
	ck_assert_int_lt(status.st_size, STORE_MOST);
	f->n = (size_t)status.st_size;
	ck_assert_int_eq(read(fd, f->bytes, f->n), status.st_size);
	close(fd);
}

static void write_bytes(const struct forged *f, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	ck_assert(fd >= 0 && write(fd, f->bytes, n) == (ssize_t)n);
	close(fd);
}

static void open_forged(struct forged *f)
{
	struct store_file file = {.path = path};

	read_bytes(f);
	ck_assert_msg(store_file_open(&file, path, false) == 0 &&
			  store_file_slot(&file, &f->slot, &f->which) == 0,
		      "%s", cowarena_errmsg());
	f->header = file.header;
	os_file_close(&file.file);
	ck_assert_uint_eq(store_levels(&file, f->slot.root.pages), 1);
	memcpy(f->node, block_of(f, f->slot.root.root.block), page_size());
	store_swap(f->node, page_size());
}

/* Write it with the checksums of what it is now. Pages: those that the node has, too. */
static void write_forged(struct forged *f, bool pages)
{
	size_t size = page_size();
	uint64_t blocks = f->n / size, root = f->slot.root.root.block;
	struct store_header h = f->header;
	struct store_slot s = f->slot;

	h.checksum = store_header_checksum(&h);
	for (size_t i = 0; pages && i < s.root.pages; i++)
		if (f->node[i].block && f->node[i].block < blocks)
			f->node[i].checksum =
			    store_checksum(&h, block_of(f, f->node[i].block), size, 0, i);
	if (root && root < blocks) {
		unsigned char *node = block_of(f, root);
		memcpy(node, f->node, size);
		store_swap(node, size);
		s.root.root.checksum = store_checksum(&h, node, size, 1, 0);
	}
	s.checksum = store_slot_checksum(&h, &s, f->which);
	store_swap(&h, sizeof h);
	store_swap(&s, sizeof s);
	memcpy(f->bytes, &h, sizeof h);
	memcpy(block_of(f, f->which), &s, sizeof s);
	write_bytes(f, f->n);
}

/* Two checkpoints, 1 and 2, of which the second has changed all; one page is different in each. The
   store is small: its index is one node. */
static cowarena_store *small_store(void)
{
	struct cowarena_options a = case_options(CASE_DEFAULT);
	struct cowarena_store_options o = COWARENA_STORE_OPTIONS_INIT;

	a.capacity = (size_t)4 << 20;
	o.arena = &a;
	cowarena_store *store = cowarena_store_open(path, &o);
	ck_assert_msg(store != NULL, "%s", cowarena_errmsg());
	return store;
}

static void fill(cowarena_store *store, unsigned salt)
{
	cowarena *arena = cowarena_store_arena(store);
	unsigned char *p = cowarena_root(arena);

	if (!p)
		p = (unsigned char *)page_block(arena, 20);
	for (size_t i = 0; i < 20; i++)
		memset(p + i * page_size(), (int)(salt * 32 + i), page_size());
	cowarena_set_root(arena, p);
	works(cowarena_store_checkpoint(store, 0));
}

static unsigned salt_of(cowarena_store *store)
{
	const unsigned char *p = cowarena_root(cowarena_store_arena(store));
	unsigned salt = p[0] / 32;

	for (size_t i = 0; i < 20 * page_size(); i++)
		ck_assert_uint_eq(p[i], salt * 32 + i / page_size());
	return salt;
}

static void make_store(void)
{
	make_folder();
	cowarena_store *store = small_store();
	fill(store, 1);
	fill(store, 2);
	works(cowarena_store_close(store));
	open_forged(&forged);
}

static void opens_with(unsigned salt)
{
	cowarena_store *store = open_default();

	ck_assert_uint_eq(salt_of(store), salt);
	works(cowarena_store_close(store));
}

/* ---- accidents ---- */

/* The newer slot torn: the older one. Both: none. */
START_TEST(torn_slots)
{
	make_store();
	size_t page = page_size();
	for (size_t at = 0; at < sizeof(struct store_slot); at++) {
		changed = forged;
		block_of(&changed, forged.which)[at] ^= 0x10;
		write_bytes(&changed, changed.n);
		opens_with(1);
	}
	/* One that never was. */
	changed = forged;
	memset(block_of(&changed, forged.which), 0, page);
	write_bytes(&changed, changed.n);
	opens_with(1);
	changed = forged;
	memset(block_of(&changed, 1), 0, 2 * page);
	write_bytes(&changed, changed.n);
	not_opened(EBADMSG, "both slots");
	/* Each in the place of the other. */
	changed = forged;
	memcpy(block_of(&changed, 1), block_of(&forged, 2), page);
	memcpy(block_of(&changed, 2), block_of(&forged, 1), page);
	write_bytes(&changed, changed.n);
	not_opened(EBADMSG, "both slots");
	remove_folder();
}
END_TEST

START_TEST(cut_short)
{
	uint64_t state = seed_of_run(41);

	make_store();
	for (size_t i = 0; i < scaled(100, 2000, 20); i++) {
		size_t n =
		    i < 5 ? i * page_size() : rng(&state) % (forged.slot.length * page_size());
		write_bytes(&forged, n);
		not_opened(EBADMSG, "no whole store");
	}
	/* More behind is what a cut may leave. */
	changed = forged;
	memset(changed.bytes + changed.n, 0xee, 3 * page_size() + 100);
	changed.n += 3 * page_size() + 100;
	write_bytes(&changed, changed.n);
	opens_with(2);
	remove_folder();
}
END_TEST

/* A flipped bit anywhere: refused, or of no account. */
START_TEST(flipped_bits)
{
	uint64_t state = seed_of_run(42);
	size_t refused = 0, tries = scaled(300, 20000, 50);

	make_store();
	for (size_t i = 0; i < tries; i++) {
		changed = forged;
		size_t at = i % 3 ? rng(&state) % forged.n
				  : forged.slot.root.root.block * page_size() +
					rng(&state) % (forged.slot.root.pages * 16);
		changed.bytes[at] ^= (unsigned char)(1 << rng(&state) % 8);
		write_bytes(&changed, changed.n);
		cowarena_store *store = open_flags(CASE_DEFAULT, 0);
		if (store) {
			unsigned salt = salt_of(store);
			ck_assert(salt == 2 || at / page_size() == forged.which);
			works(cowarena_store_close(store));
		} else {
			ck_assert_msg(errno == EBADMSG || errno == ENOTSUP, "%d: %s", errno,
				      cowarena_errmsg());
			refused++;
		}
	}
	printf("%zu of %zu flips were refused\n", refused, tries);
	ck_assert_uint_gt(refused, tries / 3);
	remove_folder();
}
END_TEST

/* Blocks that are whole, and are not the ones that belong there. */
START_TEST(blocks_elsewhere)
{
	size_t size = page_size(), i = 0, j;

	make_store();
	unlink(path);
	cowarena_store *store = small_store();
	fill(store, 1);
	fill(store, 2);
	works(cowarena_store_close(store));
	open_forged(&other);
	/* The index of the other store, which is made alike. */
	changed = forged;
	memcpy(block_of(&changed, forged.slot.root.root.block),
	       block_of(&other, other.slot.root.root.block), size);
	write_bytes(&changed, changed.n);
	not_opened(EBADMSG, "checksum");
	/* The whole of the other one under this one's header. */
	changed = other;
	memcpy(changed.bytes, forged.bytes, size);
	write_bytes(&changed, changed.n);
	not_opened(EBADMSG, "both slots");
	/* Two pages swapped: in the file, and in the index with their checksums. */
	while (!forged.node[i].block)
		i++;
	for (j = i + 1; !forged.node[j].block;)
		j++;
	changed = forged;
	memcpy(block_of(&changed, forged.node[i].block), block_of(&forged, forged.node[j].block),
	       size);
	memcpy(block_of(&changed, forged.node[j].block), block_of(&forged, forged.node[i].block),
	       size);
	write_bytes(&changed, changed.n);
	not_opened(EBADMSG, "checksum");
	changed = forged;
	changed.node[i] = forged.node[j];
	changed.node[j] = forged.node[i];
	write_forged(&changed, false);
	not_opened(EBADMSG, "checksum");
	remove_folder();
}
END_TEST

/* ---- with right checksums ---- */

#define FORGE(change, errnum, words)                                                               \
	do {                                                                                       \
		struct forged *g = &changed;                                                       \
		*g = forged;                                                                       \
		change;                                                                            \
		write_forged(g, false);                                                            \
		not_opened(errnum, words);                                                         \
	} while (0)

START_TEST(forged_numbers)
{
	make_store();
	write_forged(&forged, false);
	opens_with(2);
	FORGE(g->header.magic++, EBADMSG, "mark");
	FORGE(g->header.version++, ENOTSUP, "format 2");
	FORGE(g->header.page_size *= 2, ENOTSUP, "pages");
	FORGE(g->header.layout++, ENOTSUP, "lays its heap out");
	FORGE(g->header.base++, EBADMSG, "place");
	FORGE(g->header.base = 0, EBADMSG, "place");
	FORGE(g->header.base = -(uint64_t)chunks_size(), EBADMSG, "place");
	FORGE(g->header.reserved++, EBADMSG, "place");
	FORGE(g->header.reserved = 0, EBADMSG, "place");
	FORGE(g->header.reserved = (uint64_t)1 << 62, EBADMSG, "place");
	FORGE(g->slot.root.pages = 0, EBADMSG, "nonsense");
	FORGE(g->slot.root.pages = 1, EBADMSG, "nonsense");
	FORGE(g->slot.root.pages--, EBADMSG, "");
	FORGE(g->slot.root.pages = UINT64_MAX, EBADMSG, "nonsense");
	FORGE(g->slot.root.epoch = UINT64_MAX, EBADMSG, "nonsense");
	FORGE(g->slot.root.root.block = 0, EBADMSG, "nonsense");
	FORGE(g->slot.root.root.block = 2, EBADMSG, "nonsense");
	/* A stale slot, of a file that was longer. */
	FORGE(g->slot.root.root.block = g->slot.length, EBADMSG, "nonsense");
	FORGE(g->slot.root.root.block = UINT64_MAX, EBADMSG, "nonsense");
	FORGE(g->slot.length = 2, EBADMSG, "cut");
	FORGE(g->slot.length = 3, EBADMSG, "nonsense");
	FORGE(g->slot.length++, EBADMSG, "cut");
	FORGE(g->slot.length = UINT64_MAX, EBADMSG, "cut");
	FORGE(g->slot.names.block = 1, EBADMSG, "nonsense");
	FORGE(g->slot.names.block = 4, EBADMSG, "");
	FORGE(g->slot.names.block = UINT64_MAX, EBADMSG, "nonsense");
	FORGE(g->node[0].block = 1, EBADMSG, "nonsense");
	FORGE(g->node[0].block = UINT64_MAX, EBADMSG, "nonsense");
	FORGE(g->node[0].block = 0, EBADMSG, "nonsense");
	FORGE(g->node[g->slot.root.pages] = g->node[0], EBADMSG, "nonsense");
	/* A page, or the node itself, twice. */
	FORGE(g->node[1].block = g->node[0].block, EBADMSG, "");
	FORGE(g->node[0].block = g->slot.root.root.block, EBADMSG, "");
	remove_folder();
}
END_TEST

/* A heap that is far larger than its file. */
START_TEST(forged_size)
{
	make_store();
	changed = forged;
	/* Such a store has a tree of more levels: this is refused before that is looked at. */
	changed.header.reserved = (uint64_t)1 << 44;
	changed.slot.root.pages = ((uint64_t)1 << 43) / page_size();
	write_forged(&changed, false);
	not_opened(EFBIG, "COWARENA_STORE_SPARSE");
	remove_folder();
}
END_TEST

/* The heap's bookkeeping, changed at random: refused, or a heap in which blocks come and go. */
START_TEST(forged_heap)
{
	uint64_t state = seed_of_run(43);
	size_t opened = 0, tries = scaled(100, 10000, 20);

	make_store();
	for (size_t i = 0; i < tries; i++) {
		changed = forged;
		for (size_t n = 1 + rng(&state) % 8; n--;) {
			/* The header and the first descriptors come first. */
			size_t page = rng(&state) % (rng(&state) % 4 ? 6 : changed.slot.root.pages);
			if (!changed.node[page].block)
				continue;
			unsigned char *p = block_of(&changed, changed.node[page].block);
			p[rng(&state) % page_size()] = (unsigned char)(rng(&state) % 4);
		}
		write_forged(&changed, true);
		cowarena_store *store = open_flags(CASE_DEFAULT, 0);
		if (!store) {
			fails(-1, EBADMSG, "bookkeeping");
			continue;
		}
		cowarena *arena = cowarena_store_arena(store);
		void *p[50];
		for (size_t j = 0; j < 50; j++)
			p[j] = cowarena_alloc(arena, rng(&state) % 40000);
		for (size_t j = 0; j < 50; j++)
			cowarena_free(arena, p[j]);
		ck_assert_msg(!cowarena_heap_check(arena, NULL), "%s", cowarena_errmsg());
		works(cowarena_store_checkpoint(store, 0));
		works(cowarena_store_close(store));
		opened++;
	}
	printf("%zu of %zu forged heaps were fine\n", opened, tries);
	remove_folder();
}
END_TEST

/* Tables of names that say what cannot be. */
static void forge_table(struct store_table *t, struct store_name *name, int what)
{
	switch (what) {
	case 0:
		t->names = 0;
		return;
	case 1:
		t->names = UINT64_MAX;
		return;
	case 2:
		memset(name->name, 'x', sizeof name->name);
		return;
	case 3:
		*name->name = 0;
		return;
	case 4:
		name->root.pages = 0;
		return;
	case 5:
		name->root.root.block = 1;
		return;
	case 6:
		name->root.root.block = UINT64_MAX;
		return;
	case 7:
		name->root.pages = UINT64_MAX;
		return;
	case 8: /* the next block is this one */
		t->next = (struct store_entry){changed.slot.names.block, 1};
		return;
	case 9:
		t->next = (struct store_entry){UINT64_MAX, 1};
	}
}

START_TEST(forged_names)
{
	make_folder();
	cowarena_store *store = small_store();
	fill(store, 1);
	works(cowarena_store_keep(store, "kept"));
	works(cowarena_store_close(store));
	open_forged(&forged);
	changed = forged;
	struct store_table *t = (void *)block_of(&changed, changed.slot.names.block);
	struct store_name *name = (void *)(t + 1);
	store_swap(t, sizeof *t);
	store_swap(&name->root, sizeof name->root);
	forge_table(t, name, _i);
	store_swap(t, sizeof *t);
	store_swap(&name->root, sizeof name->root);
	changed.slot.names.checksum =
	    store_checksum(&changed.header, t, page_size(), STORE_AT_TABLE, 0);
	write_forged(&changed, false);
	not_opened(EBADMSG, "no whole store");
	remove_folder();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("store-damage");
	TCase *tc = tcase_create("accidents"), *forgeries = tcase_create("forgeries");

	tcase_add_test(tc, torn_slots);
	tcase_add_test(tc, cut_short);
	tcase_add_test(tc, flipped_bits);
	tcase_add_test(tc, blocks_elsewhere);
	suite_add_tcase(suite, tc);
	tcase_add_test(forgeries, forged_numbers);
	tcase_add_test(forgeries, forged_size);
	tcase_add_test(forgeries, forged_heap);
	tcase_add_loop_test(forgeries, forged_names, 0, 10);
	suite_add_tcase(suite, forgeries);
	return run_suite(suite);
}
