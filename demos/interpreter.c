/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * interpreter.c - a Lua interpreter that goes back in time.
 *
 * Lua asks its host for all memory through one function, and cowarena_realloc_cb() is such a
 * function. So the whole interpreter lives in an arena, with its tables, closures and coroutines,
 * its garbage collector and its random numbers. A first script runs, a snapshot is taken, a second
 * script runs and fails half way; then a rollback undoes all that it did. That the state is the
 * earlier one is shown twice: byte for byte over all blocks, and as Lua sees it.
 *
 * What a host must know: roll back when no Lua function is running. The lua_State * stays valid: it
 * is a block of the arena, older than the snapshot. What Lua keeps outside its heap is not undone:
 * open files, what was written to them, loaded C libraries.
 */
#include "config.h"

#include "common.h"
#include "arguments.h"
#include "digest.h"
#include "picture.h"
#include "report.h"

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

/* Used without scripts of the user's: a bank, and a coroutine that stops in the middle of its
   work. */
static const char first_script[] = "accounts = { alice = 100, bob = 50 }\n"
				   "journal = {}\n"
				   "function pay(from, to, sum)\n"
				   "  assert(accounts[from] >= sum, 'not enough money')\n"
				   "  accounts[from] = accounts[from] - sum\n"
				   "  accounts[to] = (accounts[to] or 0) + sum\n"
				   "  journal[#journal + 1] = from .. ' to ' .. to .. ': ' .. sum\n"
				   "end\n"
				   "next_prime = coroutine.wrap(function()\n"
				   "  for n = 2, math.huge do\n"
				   "    local prime = true\n"
				   "    for d = 2, n // 2 do prime = prime and n % d ~= 0 end\n"
				   "    if prime then coroutine.yield(n) end\n"
				   "  end\n"
				   "end)\n"
				   "for i = 1, 100 do prime = next_prime() end\n"
				   "pay('alice', 'bob', 10)\n";

static const char second_script[] = "for i = 1, 100 do prime = next_prime() end\n"
				    "dice = math.random(6)\n"
				    "for i = 1, 10000 do journal[i] = 'forged entry ' .. i end\n"
				    "pay('bob', 'mallory', 60)\n"
				    "pay = nil\n"
				    "collectgarbage()\n"
				    "accounts.alice = accounts.alice - nothing\n"; /* an error */

/* Returns a function that describes the global variables, a line each. */
static const char describer[] =
    "local old = {}\n"
    "for k in pairs(_G) do old[k] = true end\n"
    "local function describe(v, seen)\n"
    "  if type(v) == 'string' then return string.format('%q', v) end\n"
    "  if type(v) ~= 'table' then return type(v) == 'number' and tostring(v) or type(v) end\n"
    "  if seen[v] then return '...' end\n"
    "  seen[v] = true\n"
    "  local parts = {}\n"
    "  for k, x in pairs(v) do parts[#parts + 1] = tostring(k) .. '=' .. describe(x, seen) end\n"
    "  table.sort(parts)\n"
    "  return '{' .. #parts .. ': ' .. table.concat(parts, ', ') .. '}'\n"
    "end\n"
    "return function()\n"
    "  local lines = {}\n"
    "  for k, v in pairs(_G) do\n"
    "    if not old[k] then lines[#lines + 1] = tostring(k) .. ' = ' .. describe(v, {}) .. '\\n' "
    "end\n"
    "  end\n"
    "  table.sort(lines)\n"
    "  return table.concat(lines)\n"
    "end\n";

static cowarena *arena;
static lua_State *lua;
static int describe_ref;

static void start_lua(void)
{
	lua = lua_newstate(cowarena_realloc_cb, arena);
	if (!lua)
		die("no interpreter: %s", cowarena_errmsg());
	luaL_openlibs(lua);
	if (luaL_dostring(lua, describer))
		die("%s", lua_tostring(lua, -1));
	describe_ref = luaL_ref(lua, LUA_REGISTRYINDEX);
}

/* The description, copied out of the arena, so that a rollback leaves it. */
static char *describe(void)
{
	lua_rawgeti(lua, LUA_REGISTRYINDEX, describe_ref);
	if (lua_pcall(lua, 0, 1, 0))
		die("%s", lua_tostring(lua, -1));
	char *text = strdup(lua_tostring(lua, -1));
	if (!text)
		die("out of memory");
	lua_pop(lua, 1);
	return text;
}

/* Run a script: a file, or our own if path is NULL. Returns whether it ran to its end. */
static bool run(const char *path, const char *script, const char *name)
{
	printf("-- %s --\n", path ? path : name);
	int status =
	    path ? luaL_loadfile(lua, path) : luaL_loadbuffer(lua, script, strlen(script), name);
	if (!status)
		status = lua_pcall(lua, 0, 0, 0);
	if (status) {
		const char *message = lua_tostring(lua, -1);
		printf("it failed: %s\n", message ? message : "(an error that is no string)");
	}
	lua_settop(lua, 0);
	return !status;
}

static bool has_line(const char *text, const char *line, size_t length)
{
	for (; *text; text += strcspn(text, "\n") + 1)
		if (strncmp(text, line, length) == 0)
			return true;
	return false;
}

/* The lines of a that are not in b, the first few. */
static void print_lines(const char *sign, const char *a, const char *b)
{
	for (int left = 8; *a && left; a += strcspn(a, "\n") + 1) {
		size_t length = strcspn(a, "\n") + 1;
		if (has_line(b, a, length))
			continue;
		printf("  %s %.*s%s\n", sign, (int)(length > 70 ? 70 : length - 1), a,
		       length > 70 ? " ..." : "");
		left--;
	}
}

static int count_bytes(void *ctx, const void *start, size_t length)
{
	(void)start;
	*(size_t *)ctx += length;
	return 0;
}

static const struct demo demo = {
    .about = "Runs FIRST in a Lua interpreter whose heap is an arena, takes a snapshot, runs\n"
	     "SECOND, and rolls back: all that SECOND did is undone. Then it runs SECOND again.\n"
	     "Without SECOND, FIRST is run in its place; without both, two short scripts of its\n"
	     "own. The exit status is 1 if the state is not the earlier one.",
    .operands = "[FIRST.lua [SECOND.lua]]",
    .pages = true,
};

/* What the rollback undoes. */
static void print_changes(cowarena_snapshot *snapshot, const char *before, const char *after)
{
	size_t changed = 0;

	if (cowarena_diff_with(snapshot, NULL, COWARENA_DIFF_BYTES, count_bytes, &changed))
		die("no difference: %s", cowarena_errmsg());
	printf("what it has changed:\n");
	print_lines("-", before, after);
	print_lines("+", after, before);
	printf("%s bytes differ\n", human_count(changed).text);
}

static void print_report(struct cowarena_stats start, struct cowarena_stats end)
{
	uint64_t pages = end.copied + end.copied_ahead - start.copied - start.copied_ahead;
	char shared[80], copied[80];

	snprintf(shared, sizeof shared, "an interpreter of %s", human_bytes(start.live_bytes).text);
	snprintf(copied, sizeof copied, "%s pages, %s", human_count(pages).text,
		 human_bytes(pages * (uint64_t)sysconf(_SC_PAGESIZE)).text);
	report(shared, copied, end.faults - start.faults, "the same bytes, and the same to Lua");
}

int main(int argc, char **argv)
{
	char **scripts = argv + demo_arguments(&demo, argc, argv);
	const char *first = scripts[0], *second = first && scripts[1] ? scripts[1] : first;

	if (argv + argc - scripts > 2)
		usage_error("two scripts at most");
	for (char **script = scripts; *script; script++)
		if (access(*script, R_OK))
			die("%s: %s", *script, strerror(errno));

	arena = create_arena(demo_choice.engine, 0);
	struct picture *picture = picture_begin(arena);
	start_lua();
	if (!run(first, first_script, "first script"))
		die("there is nothing to go back to");
	char *before = describe();

	cowarena_snapshot *snapshot = picture_take(picture, arena, 0, "snapshot");
	if (!snapshot)
		die("no snapshot: %s", cowarena_errmsg());
	struct digest then = digest_arena(arena);
	struct cowarena_stats start = stats_of(arena);

	run(second, second_script, "second script");
	struct cowarena_stats end = stats_of(arena);
	picture_map(picture, "The interpreter's heap, since the snapshot:");
	char *after = describe();
	struct digest now = digest_arena(arena);
	print_changes(snapshot, before, after);

	if (cowarena_rollback(arena, snapshot))
		die("no rollback: %s", cowarena_errmsg());
	picture_note(picture, "rollback");
	struct digest back = digest_arena(arena);
	char *again = describe();
	printf("-- rollback --\n");
	print_digest("at the snapshot", then);
	print_digest("before", now);
	print_digest("after", back);
	if (!same_digest(then, back))
		die("after the rollback not all bytes are what they were");
	if (strcmp(before, again))
		die("after the rollback Lua sees something else than before");

	/* The state goes on from there, in the same way unless the script asks the world
	   outside. */
	run(second, second_script, "second script");
	char *repeated = describe();
	printf("it did %s\n",
	       strcmp(after, repeated) == 0 ? "the same as the first time" : "something else");
	picture_end(picture);

	free(before);
	free(after);
	free(again);
	free(repeated);
	lua_close(lua);
	print_report(start, end);
	cowarena_destroy(arena);
	return EXIT_SUCCESS;
}
