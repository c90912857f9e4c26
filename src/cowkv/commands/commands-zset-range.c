/* SPDX-License-Identifier: BSD-2-Clause */
/* commands-zset-range.c - parts of sorted sets: by rank, by score, by name. */
#include "config.h"

#include "commands/command.h"
#include "types/value-zset.h"

#include <math.h>
#include <stdlib.h>

static struct zset *read_zset(struct client *c, bool *wrong)
{
	return command_read(c, c->argv[1], VALUE_ZSET, wrong);
}

static void reply_member(struct client *c, const struct zset_node *n, bool score)
{
	reply_bulk(c, entry_slice(n->member));
	if (score)
		reply_double(c, n->score);
}

struct range {
	bool by_score, by_name, reverse, scores;
	int64_t offset, limit;
};

static void by_rank(struct client *c, const struct range *r, struct slice from, struct slice to)
{
	int64_t start, end;
	bool wrong;

	if (!command_integer(c, from, &start, NULL) || !command_integer(c, to, &end, NULL))
		return;
	struct zset *z = read_zset(c, &wrong);
	if (wrong)
		return;
	int64_t n = z ? (int64_t)z->by_name.used : 0;
	start = start < 0 ? start + n : start;
	end = end < 0 ? end + n : end;
	start = start < 0 ? 0 : start;
	end = end >= n ? n - 1 : end;
	if (start > end) {
		reply_array(c, 0);
		return;
	}
	reply_array(c, (size_t)(end - start + 1) * (r->scores ? 2 : 1));
	struct zset_node *at = zset_at(z, (uint64_t)(r->reverse ? n - 1 - start : start));
	for (int64_t i = start; i <= end; i++, at = r->reverse ? at->before : zset_after(at))
		reply_member(c, at, r->scores);
}

struct bound {
	double score;
	bool exclusive;
};

/* As lenient as Redis: "" is 0, spaces may come first, and a number too large is infinite. */
static bool parse_bound(struct slice s, struct bound *b)
{
	char text[NUMBER_TEXT], *end;

	b->exclusive = s.len && *s.data == '(';
	if (!slice_text((struct slice){s.data + b->exclusive, s.len - b->exclusive}, text))
		return false;
	b->score = strtod(text, &end);
	return !*end && !isnan(b->score);
}

static bool below(const struct zset_node *n, const struct bound *max)
{
	return max->exclusive ? n->score < max->score : n->score <= max->score;
}

static bool above(const struct zset_node *n, const struct bound *min)
{
	return min->exclusive ? n->score > min->score : n->score >= min->score;
}

static void by_score(struct client *c, const struct range *r, struct slice from, struct slice to)
{
	struct bound min, max;
	bool wrong;
	size_t n = 0;

	if (!parse_bound(r->reverse ? to : from, &min) ||
	    !parse_bound(r->reverse ? from : to, &max)) {
		reply_error(c, "ERR min or max is not a float");
		return;
	}
	struct zset *z = read_zset(c, &wrong);
	if (wrong)
		return;
	size_t where = reply_array_later(c);
	struct zset_node *at = NULL;
	if (z && r->reverse) { /* the last node below max precedes the first above it */
		at = zset_from(z, max.score, !max.exclusive);
		at = at ? at->before : z->tail;
	} else if (z) {
		at = zset_from(z, min.score, min.exclusive);
	}
	int64_t skip = r->offset, limit = r->limit;
	for (; at && limit; at = r->reverse ? at->before : zset_after(at)) {
		if (!(r->reverse ? above(at, &min) : below(at, &max)))
			break;
		if (skip-- > 0)
			continue;
		reply_member(c, at, r->scores);
		n += r->scores ? 2 : 1;
		limit--;
	}
	reply_array_set(c, where, n);
}

/* ---- by name, among members of equal score ---- */

struct name_bound {
	struct slice name;
	int end; /* -1: before all names, 1: after all, 0: at `name` */
	bool exclusive;
};

static bool parse_name_bound(struct slice s, struct name_bound *b)
{
	*b = (struct name_bound){{s.data + 1, s.len - 1}, 0, s.len && *s.data == '('};
	if (s.len == 1 && (*s.data == '-' || *s.data == '+'))
		b->end = *s.data == '-' ? -1 : 1;
	else if (!s.len || (*s.data != '(' && *s.data != '['))
		return false;
	return true;
}

static bool above_name(const struct zset_node *n, const struct name_bound *min)
{
	int order = zset_compare_names(entry_slice(n->member), min->name);

	return min->end ? min->end < 0 : min->exclusive ? order > 0 : order >= 0;
}

static bool below_name(const struct zset_node *n, const struct name_bound *max)
{
	int order = zset_compare_names(entry_slice(n->member), max->name);

	return max->end ? max->end > 0 : max->exclusive ? order < 0 : order <= 0;
}

static void by_name(struct client *c, const struct range *r, struct slice from, struct slice to)
{
	struct name_bound min, max;
	bool wrong;
	size_t n = 0;

	if (!parse_name_bound(r->reverse ? to : from, &min) ||
	    !parse_name_bound(r->reverse ? from : to, &max)) {
		reply_error(c, "ERR min or max not valid string range item");
		return;
	}
	struct zset *z = read_zset(c, &wrong);
	if (wrong)
		return;
	size_t where = reply_array_later(c);
	struct zset_node *at = z ? r->reverse ? z->tail : z->head->link[0].after : NULL;
	int64_t skip = r->offset, limit = r->limit;
	for (; at && limit; at = r->reverse ? at->before : zset_after(at)) {
		if (!(r->reverse ? above_name(at, &min) : below_name(at, &max)))
			break;
		if (!(r->reverse ? below_name(at, &max) : above_name(at, &min)) || skip-- > 0)
			continue;
		reply_member(c, at, false);
		n++;
		limit--;
	}
	reply_array_set(c, where, n);
}

/* ---- ZRANGE and its kin ---- */

/* Parse the options after the bounds. may_choose: this is ZRANGE, whose options include those that
   its kin have in their names. */
static bool parse_options(struct client *c, struct range *r, bool may_choose)
{
	bool chosen = !may_choose, reversed = !may_choose;

	r->limit = -1;
	for (size_t i = 4; i < c->argc; i++) {
		struct slice s = c->argv[i];
		if (slice_is(s, "withscores")) {
			r->scores = true;
		} else if (slice_is(s, "limit") && i + 2 < c->argc) {
			if (!command_integer(c, c->argv[i + 1], &r->offset, NULL) ||
			    !command_integer(c, c->argv[i + 2], &r->limit, NULL))
				return false;
			i += 2;
		} else if (!reversed && slice_is(s, "rev")) {
			r->reverse = reversed = true;
		} else if (!chosen && (slice_is(s, "byscore") || slice_is(s, "bylex"))) {
			r->by_score = slice_is(s, "byscore");
			r->by_name = !r->by_score;
			chosen = true;
		} else {
			reply_error(c, ERROR_SYNTAX);
			return false;
		}
	}
	return true;
}

static void range(struct client *c, struct range r, bool may_choose)
{
	if (!parse_options(c, &r, may_choose))
		return;
	if (r.limit != -1 && !r.by_score && !r.by_name) {
		reply_error(c, "ERR syntax error, LIMIT is only supported in combination with "
			       "either BYSCORE or BYLEX");
		return;
	}
	if (r.scores && r.by_name) {
		reply_error(c,
			    "ERR syntax error, WITHSCORES not supported in combination with BYLEX");
		return;
	}
	if (r.limit < 0)
		r.limit = INT64_MAX;
	if (r.offset < 0 && (r.by_score || r.by_name))
		r.limit = 0; /* nothing, as in Redis */
	if (r.by_score)
		by_score(c, &r, c->argv[2], c->argv[3]);
	else if (r.by_name)
		by_name(c, &r, c->argv[2], c->argv[3]);
	else
		by_rank(c, &r, c->argv[2], c->argv[3]);
}

static void zrange(struct client *c)
{
	range(c, (struct range){0}, true);
}

static void zrevrange(struct client *c)
{
	range(c, (struct range){.reverse = true}, false);
}

static void zrangebyscore(struct client *c)
{
	range(c, (struct range){.by_score = true}, false);
}

static void zrevrangebyscore(struct client *c)
{
	range(c, (struct range){.by_score = true, .reverse = true}, false);
}

static void zcount(struct client *c)
{
	struct bound min, max;
	bool wrong;
	int64_t n = 0;

	if (!parse_bound(c->argv[2], &min) || !parse_bound(c->argv[3], &max)) {
		reply_error(c, "ERR min or max is not a float");
		return;
	}
	struct zset *z = read_zset(c, &wrong);
	if (wrong)
		return;
	struct zset_node *at = z ? zset_from(z, min.score, min.exclusive) : NULL;
	for (; at && below(at, &max); at = zset_after(at))
		n++;
	reply_int(c, n);
}

#define READS (COMMAND_READONLY | COMMAND_FAST)

const struct command zset_range_commands[] = {
    {"zcount", zcount, 4, READS, 1, 1, 1, NULL},
    {"zrange", zrange, -4, COMMAND_READONLY, 1, 1, 1, NULL},
    {"zrevrange", zrevrange, -4, COMMAND_READONLY, 1, 1, 1, NULL},
    {"zrangebyscore", zrangebyscore, -4, COMMAND_READONLY, 1, 1, 1, NULL},
    {"zrevrangebyscore", zrevrangebyscore, -4, COMMAND_READONLY, 1, 1, 1, NULL},
    {0},
};
