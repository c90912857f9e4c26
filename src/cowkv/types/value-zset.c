/* SPDX-License-Identifier: BSD-2-Clause */
/* value-zset.c - see value-zset.h. */
#include "config.h"

#include "rdb/rdb-elements.h"
#include "rdb/rdb-format.h"
#include "rdb/rdb-walk.h"
#include "types/value-zset.h"

#include <endian.h>
#include <math.h>
#include <string.h>

static struct zset_node *new_node(uint32_t levels, double score, struct entry *member)
{
	struct zset_node *n = heap_zalloc(sizeof *n + levels * sizeof *n->link);

	n->levels = levels;
	n->score = score;
	n->member = member;
	return n;
}

/* One node in four is also on the next level. */
static uint32_t random_levels(void)
{
	static uint64_t state = 0x9e3779b97f4a7c15;
	uint32_t levels = 1;

	state = state * 6364136223846793005 + 1442695040888963407; /* Knuth's, TAOCP 2, 3.3.4 */
	for (uint64_t bits = state >> 8; levels < ZSET_LEVELS && (bits & 3) == 0; bits >>= 2)
		levels++;
	return levels;
}

int zset_compare_names(struct slice a, struct slice b)
{
	size_t both = a.len < b.len ? a.len : b.len;
	int order = both ? memcmp(a.data, b.data, both) : 0;

	return order ? order : (a.len > b.len) - (a.len < b.len);
}

/* Whether a comes before this score and name. */
static bool is_before(const struct zset_node *a, double score, struct slice name)
{
	if (a->score != score)
		return a->score < score;
	return zset_compare_names(entry_slice(a->member), name) < 0;
}

/* On each level, the last node before a place, and the rank of that node; the head has rank 0. */
struct path {
	struct zset_node *node[ZSET_LEVELS];
	uint64_t rank[ZSET_LEVELS];
};

static void descend(struct zset *z, double score, struct slice name, struct path *path)
{
	struct zset_node *at = z->head;
	uint64_t rank = 0;

	for (uint32_t l = z->levels; l-- > 0;) {
		while (at->link[l].after && is_before(at->link[l].after, score, name)) {
			rank += at->link[l].span;
			at = at->link[l].after;
		}
		path->node[l] = at;
		path->rank[l] = rank;
	}
}

static void insert(struct zset *z, struct zset_node *n)
{
	struct path path;

	descend(z, n->score, entry_slice(n->member), &path);
	uint64_t rank = path.rank[0] + 1;
	for (; z->levels < n->levels; z->levels++) {
		path.node[z->levels] = z->head;
		path.rank[z->levels] = 0;
	}
	for (uint32_t l = 0; l < z->levels; l++) {
		struct zset_link *before = &path.node[l]->link[l];
		if (l >= n->levels) {
			before->span++;
			continue;
		}
		n->link[l] = (struct zset_link){
		    before->after, before->after ? before->span + path.rank[l] + 1 - rank : 0};
		before->after = n;
		before->span = rank - path.rank[l];
	}
	n->before = path.node[0] == z->head ? NULL : path.node[0];
	if (n->link[0].after)
		n->link[0].after->before = n;
	else
		z->tail = n;
}

static void unlink_node(struct zset *z, struct zset_node *n)
{
	struct path path;

	descend(z, n->score, entry_slice(n->member), &path);
	for (uint32_t l = 0; l < z->levels; l++) {
		struct zset_link *before = &path.node[l]->link[l];
		if (before->after == n) {
			before->after = n->link[l].after;
			before->span = before->after ? before->span + n->link[l].span - 1 : 0;
		} else if (before->after) {
			before->span--;
		}
	}
	if (n->link[0].after)
		n->link[0].after->before = n->before;
	else
		z->tail = n->before;
	while (z->levels > 1 && !z->head->link[z->levels - 1].after)
		z->levels--;
}

bool zset_set(struct zset *z, struct slice member, double score)
{
	bool added;
	struct entry *e = dict_add(&z->by_name, member, &added);
	struct zset_node *n = e->value;

	score += 0.0; /* -0 becomes 0, as in Redis' small sets: no answer depends on a set's size */
	if (added) {
		n = e->value = new_node(random_levels(), score, e);
		insert(z, n);
	} else if (n->score != score) {
		unlink_node(z, n);
		n->score = score;
		insert(z, n);
	}
	return added;
}

bool zset_remove(void *zset, struct slice member)
{
	struct zset *z = zset;
	struct zset_node *n = zset_find(z, member);

	if (!n)
		return false;
	unlink_node(z, n);
	heap_free(dict_take(&z->by_name, member));
	heap_free(n);
	dict_shrink(&z->by_name);
	return true;
}

struct zset_node *zset_find(struct zset *z, struct slice member)
{
	struct entry *e = dict_find(&z->by_name, member);

	return e ? e->value : NULL;
}

struct zset_node *zset_at(struct zset *z, uint64_t rank)
{
	struct zset_node *at = z->head;

	for (uint32_t l = z->levels; l-- > 0;) {
		while (at->link[l].after && at->link[l].span <= rank + 1) {
			rank -= at->link[l].span;
			at = at->link[l].after;
		}
		if (rank == UINT64_MAX)
			return at;
	}
	return NULL;
}

struct zset_node *zset_from(struct zset *z, double min, bool exclusive)
{
	struct zset_node *at = z->head;

	for (uint32_t l = z->levels; l-- > 0;)
		while (at->link[l].after && (exclusive ? at->link[l].after->score <= min
						       : at->link[l].after->score < min))
			at = at->link[l].after;
	return at->link[0].after;
}

/* ---- the kind ---- */

static void init(void *zset)
{
	struct zset *z = zset;

	z->by_name = DICT_EMPTY;
	z->head = new_node(ZSET_LEVELS, 0, NULL);
	z->levels = 1;
}

static void clear(void *zset)
{
	struct zset *z = zset;

	dict_clear(&z->by_name, heap_free);
	heap_free(z->head);
	z->head = NULL;
}

static uint64_t length(const void *zset)
{
	return ((const struct zset *)zset)->by_name.used;
}

/* From the highest down: a reader then inserts each member in front of the others. */
static void write(struct walk *w, const void *zset)
{
	const struct zset *z = zset;
	uint64_t count = 0;

	rdb_out_length(&w->out, z->by_name.used);
	for (const struct zset_node *n = z->tail; n;) {
		if (count++ % WALK_GROUP == 0 && !walk_goes_on(w))
			return;
		n = WALK_REACH(w, n);
		const struct entry *e = n ? WALK_REACH(w, n->member) : NULL;
		if (!e)
			return;
		uint64_t bits;
		memcpy(&bits, &n->score, sizeof bits);
		bits = htole64(bits);
		walk_text(w, e->key, e->len);
		rdb_out_bytes(&w->out, &bits, sizeof bits);
		n = n->before;
		if (n)
			__builtin_prefetch(AT(n, w->shift));
	}
}

static bool score_of(struct elements *e, unsigned type, double *score)
{
	struct slice s;
	uint64_t bits;

	if (e->is_packed)
		return elements_next_of_pair(e, &s) &&
		       (slice_double(s, score) ||
			rdb_in_fail(e->in, "a score that is not a number"));
	if (type == RDB_ZSET)
		return rdb_in_double(e->in, score);
	const void *p = rdb_in_bytes(e->in, sizeof bits);
	if (!p)
		return false;
	memcpy(score, p, sizeof *score);
	return !isnan(*score) || rdb_in_fail(e->in, "a score that is not a number");
}

static bool fill(void *zset, struct elements *e, unsigned type)
{
	struct zset *z = zset;
	struct buffer *kept = &e->in->kept;
	struct slice s;
	double score;

	if (!elements_reserve(e, &z->by_name,
			      e->is_packed ? elements_announced(e) / 2 : elements_announced(e)))
		return false;
	while (elements_next(e, &s)) {
		if (!e->is_packed) {
			buffer_trim(kept, STRING_MAX / 512);
			kept->at = kept->len = 0;
			buffer_reserve(kept, 1); /* an empty member needs an address too */
			buffer_add(kept, s.data, s.len);
			s.data = kept->data;
		}
		if (!score_of(e, type, &score) || !rdb_in_room(e->in, s.len + 2 * ELEMENT_MEMORY))
			return false;
		if (!zset_set(z, s, score))
			return rdb_in_fail(e->in, "an element that is there twice");
	}
	return !e->in->failed;
}

static void *read(struct rdb_in *in, unsigned rdb_type)
{
	return elements_collection(in, rdb_type, VALUE_ZSET, fill);
}

const struct value_kind zset_kind = {
    .name = "zset",
    .size = sizeof(struct zset),
    .init = init,
    .clear = clear,
    .length = length,
    .rdb_type = RDB_ZSET_2,
    .rdb_types = RDB_BIT(RDB_ZSET) | RDB_BIT(RDB_ZSET_2) | RDB_BIT(RDB_ZSET_ZIPLIST) |
		 RDB_BIT(RDB_ZSET_LISTPACK),
    .write = write,
    .read = read,
};
