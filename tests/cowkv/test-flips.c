/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test-flips.c - redis-check-rdb and cowkv notice each single wrong bit of a saved file.
 *
 * There is one exception, for redis-check-rdb and any file: flips that turn the version in the
 * file's head into a number from 1 to 4 (such as "001p" for "0010"). Files of these versions have
 * no checksum, and nothing else in the file looks wrong. cowkv requires that all of the version is
 * digits.
 */
#include "config.h"

#include "../common.h"
#include "servers.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define FILE_MAX 1024
#define HEAD 9 /* "REDIS", and four digits */
#define MAGIC 5
#define WITH_CHECKSUM 5 /* the first version that has one */
#define AT_ONCE 2

struct file {
	unsigned char data[FILE_MAX];
	size_t n;
	char dir[64]; /* where the damaged ones are put */
};

/* A redis-check-rdb that runs, and what it looks at: a bit that was flipped. */
struct check {
	pid_t pid;
	size_t bit;
	char path[80], said[80];
};

/* ---- files ---- */

/* All types and encodings, as few bytes as that takes. */
static void fill(struct server *s)
{
	static const char *const commands[] = {
	    "SET a 1",
	    "SET b 300",
	    "SET c -70000",
	    "SET d abc",
	    "SET e aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	    "RPUSH l x 7",
	    "HSET h f v",
	    "SADD s y",
	    "SADD n 1 2",
	    "ZADD z 1.5 m",
	    "PEXPIREAT a 9999999999999",
	};

	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
		servers_ok(s, commands[i]);
}

static void file_open(struct file *f, enum server_kind kind)
{
	struct server *s = servers_start(kind, NULL);
	char path[80];

	fill(s);
	servers_save(s);
	snprintf(path, sizeof path, "%s/dump.rdb", s->dir);
	FILE *from = fopen(path, "r");
	ck_assert_ptr_nonnull(from);
	f->n = fread(f->data, 1, sizeof f->data, from);
	fclose(from);
	servers_free(s);
	ck_assert_msg(f->n > 100 && f->n < sizeof f->data, "%zu bytes", f->n);
	snprintf(f->dir, sizeof f->dir, "/tmp/cowkv-test-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(f->dir));
}

static void file_put(const struct file *f, const char *path)
{
	FILE *to = fopen(path, "w");

	ck_assert_ptr_nonnull(to);
	ck_assert_uint_eq(fwrite(f->data, 1, f->n, to), f->n);
	ck_assert_int_eq(fclose(to), 0);
}

static void flip(struct file *f, size_t bit)
{
	f->data[bit / 8] ^= (unsigned char)(1 << bit % 8);
}

/* Whether that makes it a version without checksum; read as Redis does, up to the first that is no
   digit. */
static bool has_no_checksum(const struct file *f, size_t bit)
{
	struct file flipped = *f;
	char digits[HEAD - MAGIC + 1] = {0};

	flip(&flipped, bit);
	memcpy(digits, flipped.data + MAGIC, HEAD - MAGIC);
	int version = atoi(digits);
	return memcmp(flipped.data, "REDIS", MAGIC) == 0 && version >= 1 && version < WITH_CHECKSUM;
}

/* ---- redis-check-rdb ---- */

static void check_begin(struct check *c, const char *dir, int slot)
{
	const char *why, *path = servers_redis(&why);
	const char *argv[] = {"redis-check-rdb", c->path, NULL};
	posix_spawn_file_actions_t actions;

	snprintf(c->said, sizeof c->said, "%s/said-%d", dir, slot);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, c->said,
					 O_WRONLY | O_CREAT | O_TRUNC, 0600);
	posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
	int e = posix_spawn(&c->pid, path, &actions, NULL, (char *const *)argv, environ);
	ck_assert_msg(!e, "%s: %s", path, strerror(e));
	posix_spawn_file_actions_destroy(&actions);
}

/* Whether it finds the file right: by its exit status, and in its words. */
static bool check_end(struct check *c)
{
	char text[4096];
	int status;

	ck_assert_int_eq(waitpid(c->pid, &status, 0), c->pid);
	c->pid = 0;
	FILE *f = fopen(c->said, "r");
	ck_assert_ptr_nonnull(f);
	text[fread(text, 1, sizeof text - 1, f)] = 0;
	fclose(f);
	bool fine = WIFEXITED(status) && WEXITSTATUS(status) == 0;
	bool says = strstr(text, "looks OK") != NULL;
	ck_assert_msg(fine == says && (fine || strstr(text, "RDB ERROR DETECTED")),
		      "bit %zu: redis-check-rdb ends with %d, and says %s", c->bit, status, text);
	return fine;
}

/* It has looked at one: notes whether that was taken for right. */
static void note(struct check *c, const struct file *f, unsigned *taken)
{
	if (!c->pid || !check_end(c))
		return;
	if (!has_no_checksum(f, c->bit))
		ck_abort_msg("bit %zu of byte %zu (of %zu) flipped, and redis-check-rdb finds the "
			     "file right",
			     c->bit % 8, c->bit / 8, f->n);
	++*taken;
}

/* Each bit of the head, and every step-th of the rest. */
static void check_all(struct file *f, size_t step)
{
	struct check running[AT_ONCE] = {{.pid = 0}}, whole = {.pid = 0};
	unsigned taken = 0, exceptions = 0, all = 0;

	snprintf(whole.path, sizeof whole.path, "%s/whole", f->dir);
	file_put(f, whole.path);
	check_begin(&whole, f->dir, AT_ONCE);
	ck_assert_msg(check_end(&whole), "the file is not right in the first place");
	for (size_t bit = 0; bit < 8 * f->n; bit += bit < HEAD * 8 ? 1 : step, all++) {
		int slot = (int)(all % AT_ONCE);
		struct check *c = &running[slot];
		note(c, f, &taken);
		c->bit = bit;
		snprintf(c->path, sizeof c->path, "%s/flipped-%d", f->dir, slot);
		flip(f, bit);
		file_put(f, c->path);
		flip(f, bit);
		exceptions += has_no_checksum(f, bit);
		check_begin(c, f->dir, slot);
	}
	for (int slot = 0; slot < AT_ONCE; slot++)
		note(&running[slot], f, &taken);
	printf(
	    "%zu bytes: %u bits flipped, one at a time; %u were not noticed by redis-check-rdb\n",
	    f->n, all, taken);
	/* All of the exceptions, and nothing else: if they change, what is said above is not
	   true. */
	ck_assert_uint_eq(taken, exceptions);
	ck_assert_uint_eq(taken, 4);
}

/* ---- cowkv ---- */

/* Its loader, with every flip and every length. */
static void load_all(const struct file *f)
{
	char command[256];

	snprintf(command, sizeof command, "COWKV_FLIPS=1 src/cowkv/fuzz-rdb %s/whole", f->dir);
	ck_assert_int_eq(system(command), 0);
}

/* A server does not load what redis-check-rdb has nothing against. */
static void reload_exceptions(struct file *f)
{
	struct server *cow = servers_start(COWKV, NULL);
	char path[80];

	snprintf(path, sizeof path, "%s/dump.rdb", cow->dir);
	for (size_t bit = 0; bit < HEAD * 8; bit++) {
		if (!has_no_checksum(f, bit))
			continue;
		flip(f, bit);
		file_put(f, path);
		flip(f, bit);
		redisReply *r = servers_call(cow, "DEBUG RELOAD NOSAVE");
		ck_assert_msg(r->type == REDIS_REPLY_ERROR, "bit %zu flipped: %s", bit, r->str);
		freeReplyObject(r);
	}
	/* And the whole one, so that it was not for another reason. */
	file_put(f, path);
	servers_ok(cow, "DEBUG RELOAD NOSAVE");
	servers_free(cow);
}

static void file_close(const struct file *f)
{
	static const char *const names[] = {"whole",  "flipped-0", "flipped-1",
					    "said-0", "said-1",    "said-2"};
	char path[128];

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		snprintf(path, sizeof path, "%s/%s", f->dir, names[i]);
		unlink(path);
	}
	rmdir(f->dir);
}

static void flip_all(enum server_kind kind, size_t step)
{
	struct file f;

	file_open(&f, kind);
	if (memcmp(f.data, "REDIS0010", HEAD) == 0) {
		check_all(&f, step);
		load_all(&f);
		reload_exceptions(&f);
	} else {
		ck_assert(kind == REDIS);
		printf("SKIP: this redis-server writes files of another version\n");
	}
	file_close(&f);
}

START_TEST(test_of_cowkv)
{
	flip_all(COWKV, scaled(1, 1, 17));
}
END_TEST

/* So that the exceptions are seen to be none of cowkv's making. */
START_TEST(test_of_redis)
{
	flip_all(REDIS, scaled(17, 1, 17));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("flipped bits in files of cowkv");
	TCase *tc = tcase_create("flips");

	if (!servers_need_redis())
		return 77;
	tcase_add_test(tc, test_of_cowkv);
	tcase_add_test(tc, test_of_redis);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
