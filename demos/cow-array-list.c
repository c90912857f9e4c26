/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cow-array-list.c - see cow-array-list.h.
 *
 * Java and Go leave it to the garbage collector to free a version that nobody reads any more. Here
 * hazard pointers do that: each reader announces the version it uses, in a slot of its own.
 *
 *	a reader                                  a writer, one at a time
 *	R1: slot = v               (store)        W1: current = the copy         (store)
 *	R2: is current still v?    (load)         W2: is the old one in a slot?  (load)
 *
 * Each side stores first and then loads, and at least one must see the other. So these four are
 * seq_cst: there is one order of them all. Either R2 comes before W1; then R1 comes before W2, and
 * the writer finds v in the slot and keeps it. Or W1 comes before R2; then the reader finds that v
 * was replaced, and tries again without having looked into v. With acquire and release alone, a
 * load could go ahead of the store before it, as even x86 does: neither would see the other, and
 * the reader would read freed memory.
 *
 * Otherwise acquire and release would suffice, and seq_cst includes them. R2 reads what W1 has
 * stored, so the content, written before W1, is seen after R2. A slot is cleared, or set to
 * something else, by a release that W2 acquires, so all reads of a version come before it is freed.
 * A newer version may reuse an address without harm: the version that R2 finds there is the one
 * that the slot protects.
 *
 * A slot holds up one version. So there are never more retired versions than readers, however long
 * a reader takes.
 */
#include "config.h"

#include "common.h"
#include "cow-array-list.h"
#include "digest.h"

uint64_t version_checksum(const struct list *list, const struct version *v)
{
	return hash_block((const unsigned char *)v->items, list->length * sizeof *v->items,
			  mix(v->number));
}

const struct version *list_take(struct list *list, size_t reader, uint64_t *repeats)
{
	struct version *_Atomic *slot = &list->slots[reader].hazard;
	struct version *v = atomic_load_explicit(&list->current, memory_order_relaxed);

	for (;; ++*repeats) {
		atomic_store_explicit(slot, v, memory_order_seq_cst); /* R1 */
		struct version *now =
		    atomic_load_explicit(&list->current, memory_order_seq_cst); /* R2 */
		if (now == v)
			return v;
		v = now;
	}
}

void list_drop(struct list *list, size_t reader)
{
	atomic_store_explicit(&list->slots[reader].hazard, NULL, memory_order_release);
}

static bool is_read(struct list *list, const struct version *v)
{
	for (size_t i = 0; i < READERS_MAX; i++)
		if (atomic_load_explicit(&list->slots[i].hazard, memory_order_seq_cst) == v)
			return true; /* W2 */
	return false;
}

/* Called with `writing` held. */
static void reclaim(struct list *list)
{
	for (struct version **at = &list->retired, *v; (v = *at);) {
		if (is_read(list, v)) {
			at = &v->next;
			continue;
		}
		*at = v->next;
		/* A reader that still uses it will find it wrong. */
		*(volatile uint64_t *)&v->checksum = ~v->checksum;
		free(v);
		list->freed++;
	}
}

void list_reclaim(struct list *list)
{
	pthread_mutex_lock(&list->writing);
	reclaim(list);
	pthread_mutex_unlock(&list->writing);
}

/* Make a version, whose items are still to be filled in. */
static struct version *new_version(struct list *list, uint64_t number)
{
	struct version *v = malloc(sizeof *v + list->length * sizeof *v->items);

	if (!v)
		die("out of memory");
	v->number = number;
	v->checksum = 0;
	atomic_init(&v->replaced, 0);
	list->made++;
	if (list->made - list->freed > list->alive_most)
		list->alive_most = list->made - list->freed;
	return v;
}

void list_add(struct list *list, size_t i, uint64_t delta)
{
	pthread_mutex_lock(&list->writing);
	struct version *old = atomic_load_explicit(&list->current, memory_order_relaxed);
	struct version *v = new_version(list, old->number + 1);
	memcpy(v->items, old->items, list->length * sizeof *v->items);
	v->items[i] += delta;
	if (list->sealed)
		v->checksum = version_checksum(list, v);
	atomic_store_explicit(&list->current, v, memory_order_seq_cst); /* W1 */
	atomic_store_explicit(&list->newest, v->number, memory_order_release);
	if (list->sealed)
		atomic_store_explicit(&old->replaced, now_ns(), memory_order_release);
	old->next = list->retired;
	list->retired = old;
	reclaim(list);
	pthread_mutex_unlock(&list->writing);
}

struct list *list_new(size_t length, bool sealed)
{
	struct list *list = aligned_alloc(alignof(struct list), sizeof *list);

	if (!list)
		die("out of memory");
	memset(list, 0, sizeof *list);
	list->length = length;
	list->sealed = sealed;
	pthread_mutex_init(&list->writing, NULL);
	struct version *v = new_version(list, 1);
	memset(v->items, 0, length * sizeof *v->items);
	v->checksum = version_checksum(list, v);
	for (size_t i = 0; i < READERS_MAX; i++)
		atomic_init(&list->slots[i].hazard, NULL);
	atomic_init(&list->newest, 1);
	atomic_init(&list->current, v);
	return list;
}

void list_free(struct list *list)
{
	reclaim(list);
	free(atomic_load(&list->current));
	pthread_mutex_destroy(&list->writing);
	free(list);
}
