/* SPDX-License-Identifier: BSD-2-Clause */
/* ordered.c - see ordered.h. */
#include "config.h"

#include "../common.h"
#include "ordered.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#define MOST 20000 /* i of one writer between two pauses */
#define KEY "w%u.%u:"
#define WAIT_US 200

struct writer {
	pthread_t thread;
	unsigned number;
	redisContext *link;
	_Atomic(long long) done;
	long long began;     /* when it was resumed last */
	_Atomic bool failed; /* then it has ended */
	char failure[256];   /* what it was answered */
};

static struct {
	pthread_mutex_t lock;
	pthread_cond_t change;
	bool open, leaving;
	unsigned writing; /* writers that do not pause */
	enum ordered_way way;
	unsigned epoch; /* part of the keys */
	struct writer writers[ORDERED_WRITERS];
} all = {.lock = PTHREAD_MUTEX_INITIALIZER, .change = PTHREAD_COND_INITIALIZER};

/* ---- the threads ---- */

static void append(const struct writer *w, long long i)
{
	if (all.way == ORDERED_TRANSACTIONS)
		redisAppendCommand(w->link, "MULTI");
	redisAppendCommand(w->link, "RPUSH " KEY "log %lld", w->number, all.epoch, i);
	redisAppendCommand(w->link, "SET " KEY "a %lld", w->number, all.epoch, i);
	redisAppendCommand(w->link, "HSET " KEY "h %lld of-%lld", w->number, all.epoch, i, i);
	redisAppendCommand(w->link, "SET " KEY "b %lld", w->number, all.epoch, i);
	if (all.way == ORDERED_TRANSACTIONS)
		redisAppendCommand(w->link, "EXEC");
}

static bool refused(const redisReply *r)
{
	bool is = r->type == REDIS_REPLY_ERROR;

	for (size_t i = 0; i < r->elements && !is; i++)
		is = r->element[i]->type == REDIS_REPLY_ERROR;
	return is;
}

static bool fails(struct writer *w, const char *why)
{
	snprintf(w->failure, sizeof w->failure, "%s", why);
	atomic_store(&w->failed, true);
	return false;
}

static bool take_answers(struct writer *w, unsigned n)
{
	for (redisReply *r; n; n--) {
		if (redisGetReply(w->link, (void **)&r) != REDIS_OK)
			return fails(w, w->link->errstr);
		bool fine = !refused(r) || fails(w, r->str ? r->str : "an error in EXEC");
		freeReplyObject(r);
		if (!fine)
			return false;
	}
	return true;
}

/* One command at a time, each sent when the one before has been answered. */
static bool write_singly(struct writer *w, long long i)
{
	static const char *const forms[] = {"RPUSH " KEY "log %lld", "SET " KEY "a %lld",
					    "HSET " KEY "h %lld of-%lld", "SET " KEY "b %lld"};

	for (size_t k = 0; k < sizeof forms / sizeof *forms; k++) {
		redisAppendCommand(w->link, forms[k], w->number, all.epoch, i, i);
		if (!take_answers(w, 1))
			return false;
	}
	return true;
}

static bool write_some(struct writer *w)
{
	long long done = atomic_load(&w->done), n = 1;
	bool fine;

	if (all.way == ORDERED_SINGLY) {
		fine = write_singly(w, done + 1);
	} else {
		n = ORDERED_PIPELINE;
		for (long long i = 1; i <= n; i++)
			append(w, done + i);
		fine = take_answers(w, (all.way == ORDERED_TRANSACTIONS ? 6 : 4) * (unsigned)n);
	}
	if (fine)
		atomic_store(&w->done, done + n);
	return fine;
}

/* Whether to write on; waits while there is a pause. */
static bool may_write(struct writer *w)
{
	pthread_mutex_lock(&all.lock);
	all.writing--;
	pthread_cond_broadcast(&all.change);
	while (!all.leaving && (!all.open || atomic_load(&w->done) - w->began >= MOST))
		pthread_cond_wait(&all.change, &all.lock);
	all.writing++;
	bool may = !all.leaving;
	pthread_mutex_unlock(&all.lock);
	return may;
}

static void *run(void *arg)
{
	struct writer *w = arg;

	while (may_write(w) && write_some(w))
		;
	pthread_mutex_lock(&all.lock);
	all.writing--;
	pthread_cond_broadcast(&all.change);
	pthread_mutex_unlock(&all.lock);
	return NULL;
}

/* ---- what the test says to them ---- */

static void must_be_fine(const struct writer *w)
{
	if (atomic_load(&w->failed))
		ck_abort_msg("writer %u: %s", w->number, w->failure);
}

void ordered_start(const struct server *s, enum ordered_way way)
{
	all.way = way;
	all.writing = ORDERED_WRITERS;
	for (unsigned i = 0; i < ORDERED_WRITERS; i++) {
		struct writer *w = &all.writers[i];
		w->number = i;
		w->link = redisConnect("127.0.0.1", s->port);
		ck_assert(w->link && !w->link->err);
		ck_assert_int_eq(pthread_create(&w->thread, NULL, run, w), 0);
	}
	ordered_pause();
}

void ordered_resume(void)
{
	pthread_mutex_lock(&all.lock);
	for (unsigned i = 0; i < ORDERED_WRITERS; i++)
		all.writers[i].began = atomic_load(&all.writers[i].done);
	all.open = true;
	pthread_cond_broadcast(&all.change);
	pthread_mutex_unlock(&all.lock);
}

void ordered_pause(void)
{
	pthread_mutex_lock(&all.lock);
	all.open = false;
	while (all.writing)
		pthread_cond_wait(&all.change, &all.lock);
	pthread_mutex_unlock(&all.lock);
	for (unsigned i = 0; i < ORDERED_WRITERS; i++)
		ck_assert_msg(!*all.writers[i].failure, "writer %u: %s", i, all.writers[i].failure);
}

void ordered_wait(long long n)
{
	for (unsigned i = 0; i < ORDERED_WRITERS; i++) {
		struct writer *w = &all.writers[i];
		/* Short naps, for short waits: so the last resort here is Check's. */
		while (atomic_load(&w->done) - w->began < n) {
			must_be_fine(w);
			usleep(WAIT_US);
		}
	}
}

long long ordered_done(unsigned writer)
{
	return atomic_load(&all.writers[writer].done);
}

void ordered_anew(struct server *s)
{
	for (unsigned i = 0; i < ORDERED_WRITERS; i++) {
		servers_ok(s, "DEL " KEY "log " KEY "a " KEY "h " KEY "b", i, all.epoch, i,
			   all.epoch, i, all.epoch, i, all.epoch);
		atomic_store(&all.writers[i].done, 0);
	}
	all.epoch++;
}

void ordered_end(void)
{
	pthread_mutex_lock(&all.lock);
	all.leaving = true;
	pthread_cond_broadcast(&all.change);
	pthread_mutex_unlock(&all.lock);
	for (unsigned i = 0; i < ORDERED_WRITERS; i++) {
		pthread_join(all.writers[i].thread, NULL);
		redisFree(all.writers[i].link);
	}
}

/* ---- looking ---- */

static long long number(const redisReply *r)
{
	return r->str ? strtoll(r->str, NULL, 10) : 0;
}

/* Field i has "of-i"; the fields come in any order. */
static void look_at_hash(const redisReply *r, unsigned writer)
{
	size_t m = r->elements / 2;
	bool *seen = calloc(m + 1, sizeof *seen);

	ck_assert_ptr_nonnull(seen);
	for (size_t k = 0; k < m; k++) {
		long long i = number(r->element[2 * k]);
		const char *text = r->element[2 * k + 1]->str;
		if (i < 1 || i > (long long)m || seen[i] || strncmp(text, "of-", 3) != 0 ||
		    strtoll(text + 3, NULL, 10) != i)
			ck_abort_msg("writer %u: h has %s: %s among %zu fields", writer,
				     r->element[2 * k]->str, text, m);
		seen[i] = true;
	}
	free(seen);
}

static void look_at_log(const redisReply *r, unsigned writer)
{
	for (size_t i = 0; i < r->elements; i++)
		if (number(r->element[i]) != (long long)i + 1)
			ck_abort_msg("writer %u: the log has %s at %zu", writer, r->element[i]->str,
				     i);
}

struct ordered_state ordered_look(struct server *s, unsigned writer)
{
	redisReply *log = servers_call(s, "LRANGE " KEY "log 0 -1", writer, all.epoch);
	redisReply *h = servers_call(s, "HGETALL " KEY "h", writer, all.epoch);
	redisReply *a = servers_call(s, "GET " KEY "a", writer, all.epoch);
	redisReply *b = servers_call(s, "GET " KEY "b", writer, all.epoch);

	ck_assert(log->type == REDIS_REPLY_ARRAY && h->type == REDIS_REPLY_ARRAY);
	look_at_log(log, writer);
	look_at_hash(h, writer);
	struct ordered_state state = {.log = (long long)log->elements,
				      .a = number(a),
				      .h = (long long)h->elements / 2,
				      .b = number(b)};
	freeReplyObject(log);
	freeReplyObject(h);
	freeReplyObject(a);
	freeReplyObject(b);
	return state;
}
