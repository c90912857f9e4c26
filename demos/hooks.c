/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hooks.c - three libraries that know nothing of cowarena, and one rollback for all of them.
 *
 * Jansson and cJSON hold a document each, SQLite a database in memory; each takes its memory from
 * one arena (hooks.h). A snapshot is taken. The documents and the database are changed, with a
 * transaction open; then one rollback restores all three together. Libraries that configure did not
 * find are left out.
 */
#include "config.h"

#include "common.h"
#include "arguments.h"
#include "digest.h"
#include "hooks.h"
#include "picture.h"
#include "report.h"

static cowarena *arena;
COWARENA_HOOKS(in_arena, arena)

/* What a library does in this story. */
struct actor {
	const char *name;
	void (*build)(void); /* install the hooks and make something */
	void (*change)(void);
	void (*describe)(char *text, size_t size); /* into memory outside the arena */
	void (*finish)(void);                      /* give all memory back */
};

static void check(bool good, const char *what)
{
	if (!good)
		die("%s failed", what);
}

/* Jansson --------------------------------------------------------------------------------------
 * Static is the seed of its hash tables, which is drawn once, and nothing else. */
#ifdef HAVE_JANSSON
#include <jansson.h>

static json_t *order;

static void jansson_build(void)
{
	json_set_alloc_funcs(in_arena_malloc, in_arena_free);
	order = json_pack("{s:s,s:[s,s],s:i}", "customer", "Ada", "items", "pen", "ink", "sum", 12);
	check(order, "json_pack");
}

static void jansson_change(void)
{
	json_t *items = json_object_get(order, "items");

	check(!json_object_set_new(order, "customer", json_string("Mallory")), "json_object_set");
	for (int i = 0; i < 10000; i++)
		check(!json_array_append_new(items, json_integer(i)), "json_array_append");
	json_array_remove(items, 0);
	json_object_del(order, "sum");
}

static void jansson_describe(char *text, size_t size)
{
	size_t length = json_dumpb(order, text, size - 1, JSON_SORT_KEYS);

	text[length < size ? length : size - 1] = 0;
}

static void jansson_finish(void)
{
	json_decref(order);
}
#endif

/* cJSON ----------------------------------------------------------------------------------------
 * Static is where the last parse error was, for messages only. */
#ifdef HAVE_CJSON
#include <cJSON.h>

static cJSON *settings;

static void cjson_build(void)
{
	cJSON_InitHooks(&(cJSON_Hooks){in_arena_malloc, in_arena_free});
	settings = cJSON_Parse("{\"colour\": \"blue\", \"sizes\": [1, 2, 3]}");
	check(settings, "cJSON_Parse");
}

static void cjson_change(void)
{
	cJSON *sizes = cJSON_GetObjectItem(settings, "sizes");

	cJSON_DeleteItemFromObject(settings, "colour");
	for (int i = 0; i < 10000; i++)
		cJSON_AddItemToArray(sizes, cJSON_CreateNumber(i));
	check(cJSON_AddStringToObject(settings, "mode", "dark"), "cJSON_AddStringToObject");
}

static void cjson_describe(char *text, size_t size)
{
	check(cJSON_PrintPreallocated(settings, text, (int)size, false), "cJSON_PrintPreallocated");
}

static void cjson_finish(void)
{
	cJSON_Delete(settings);
}
#endif

/* SQLite ---------------------------------------------------------------------------------------
 * Static are its mutexes, statistics of memory that can refuse it, and in some builds one page
 * cache for all connections. So: a single thread, no statistics, and no such build. Temporary
 * tables stay in memory, as a rollback does not know of files. A statement that is older than the
 * snapshot, even half way through its rows, goes back with the rest; here there is none. */
#ifdef HAVE_SQLITE
#include <sqlite3.h>

static sqlite3 *db;

static void *sqlite_malloc(int size)
{
	return in_arena_malloc((size_t)size);
}

static void *sqlite_realloc(void *p, int size)
{
	return in_arena_realloc(p, (size_t)size);
}

static int sqlite_size(void *p)
{
	return (int)cowarena_usable_size(arena, p);
}

static int sqlite_roundup(int size)
{
	return (size + 15) & ~15;
}

static int sqlite_init(void *arg)
{
	(void)arg;
	return SQLITE_OK;
}

static void sqlite_shutdown(void *arg)
{
	(void)arg;
}

static void execute(const char *sql)
{
	if (sqlite3_exec(db, sql, NULL, NULL, NULL))
		die("SQLite: %s", sqlite3_errmsg(db));
}

static void sqlite_build(void)
{
	static const sqlite3_mem_methods methods = {
	    sqlite_malloc,  in_arena_free, sqlite_realloc,  sqlite_size,
	    sqlite_roundup, sqlite_init,   sqlite_shutdown, NULL,
	};

	check(!sqlite3_compileoption_used("ENABLE_MEMORY_MANAGEMENT"),
	      "finding a SQLite without a shared page cache");
	check(!sqlite3_config(SQLITE_CONFIG_SINGLETHREAD) &&
		  !sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0) &&
		  !sqlite3_config(SQLITE_CONFIG_MALLOC, &methods),
	      "sqlite3_config");
	check(!sqlite3_open(":memory:", &db), "sqlite3_open");
	execute("PRAGMA temp_store = memory;"
		"CREATE TABLE stock (thing TEXT PRIMARY KEY, pieces INTEGER);"
		"INSERT INTO stock VALUES ('pen', 40), ('ink', 25), ('paper', 500);");
}

/* Also leaves a transaction open. */
static void sqlite_change(void)
{
	execute("DELETE FROM stock WHERE thing = 'pen';"
		"CREATE TABLE more (n INTEGER PRIMARY KEY, half INTEGER);"
		"CREATE INDEX halves ON more (half);"
		"BEGIN;"
		"WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r LIMIT 20000)"
		"  INSERT INTO more SELECT n, n / 2 FROM r;"
		"UPDATE stock SET pieces = (SELECT sum(half) FROM more);");
}

static void sqlite_describe(char *text, size_t size)
{
	sqlite3_stmt *rows;
	const char *sql = "SELECT integrity_check FROM pragma_integrity_check UNION ALL "
			  "SELECT thing || ' ' || pieces FROM stock UNION ALL "
			  "SELECT 'table ' || name FROM sqlite_master WHERE type = 'table'";

	check(!sqlite3_prepare_v2(db, sql, -1, &rows, NULL), "sqlite3_prepare_v2");
	int length =
	    snprintf(text, size, "%s", sqlite3_get_autocommit(db) ? "at rest" : "in a transaction");
	while (sqlite3_step(rows) == SQLITE_ROW)
		length += snprintf(text + length, size - (size_t)length, ", %s",
				   sqlite3_column_text(rows, 0));
	sqlite3_finalize(rows);
}

static void sqlite_finish(void)
{
	check(!sqlite3_close(db), "sqlite3_close");
	sqlite3_shutdown();
}
#endif

/* The story ------------------------------------------------------------------------------------ */

#define ACTORS (sizeof actors / sizeof *actors - 1)
static const struct actor actors[] = {
#ifdef HAVE_JANSSON
    {"Jansson", jansson_build, jansson_change, jansson_describe, jansson_finish},
#endif
#ifdef HAVE_CJSON
    {"cJSON", cjson_build, cjson_change, cjson_describe, cjson_finish},
#endif
#ifdef HAVE_SQLITE
    {"SQLite", sqlite_build, sqlite_change, sqlite_describe, sqlite_finish},
#endif
    {NULL, NULL, NULL, NULL, NULL},
};

struct state {
	char text[3][1 << 18];
};

static void describe_all(struct state *state, const char *when)
{
	printf("%s:\n", when);
	for (size_t i = 0; i < ACTORS; i++) {
		char *text = state->text[i];
		actors[i].describe(text, sizeof state->text[i]);
		printf("  %-8s %.80s%s\n", actors[i].name, text, strlen(text) > 80 ? " ..." : "");
	}
}

static void change_all(void)
{
	for (size_t i = 0; i < ACTORS; i++)
		actors[i].change();
}

static void check_same(const struct state *a, const struct state *b)
{
	for (size_t i = 0; i < ACTORS; i++)
		if (strcmp(a->text[i], b->text[i]))
			die("%s is not what it was", actors[i].name);
}

static const struct demo demo = {
    .about = "Jansson, cJSON and SQLite have their memory in one arena, and one rollback brings\n"
	     "all of them back. The exit status is 1 if any is not what it was.",
    .pages = true,
};

int main(int argc, char **argv)
{
	static struct state before, changed, back, again;

	demo_arguments(&demo, argc, argv);
	arena = create_arena(demo_choice.engine, 0);
	struct picture *picture = picture_begin(arena);
	for (size_t i = 0; i < ACTORS; i++)
		actors[i].build();
	describe_all(&before, "at the snapshot");

	cowarena_snapshot *snapshot = picture_take(picture, arena, 0, "snapshot");
	check(snapshot, "cowarena_snapshot_take");
	struct digest then = digest_arena(arena);

	change_all();
	describe_all(&changed, "changed");
	picture_map(picture, "The heap of all of them, since the snapshot:");
	check(!cowarena_rollback(arena, snapshot), "cowarena_rollback");
	picture_note(picture, "rollback");
	check(same_digest(then, digest_arena(arena)), "restoring all bytes");
	describe_all(&back, "rolled back");
	check_same(&before, &back);

	/* They still work, and give back all their memory in the end. */
	change_all();
	describe_all(&again, "changed once more");
	check_same(&changed, &again);
	picture_end(picture);
	for (size_t i = 0; i < ACTORS; i++)
		actors[i].finish();
	struct cowarena_stats s = stats_of(arena);
	check(s.live_bytes == 0 && !cowarena_heap_check(arena, NULL), "giving all memory back");
	cowarena_destroy(arena);

	char shared[80], copied[80];
	snprintf(shared, sizeof shared, "libraries: %zu, %s", ACTORS, human_bytes(then.bytes).text);
	snprintf(copied, sizeof copied, "%s pages", human_count(s.copied + s.copied_ahead).text);
	report(shared, copied, s.faults, "rolled back, all bytes are as they were");
	return EXIT_SUCCESS;
}
