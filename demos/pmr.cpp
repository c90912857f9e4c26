/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pmr.cpp - a hash table of the C++ standard library that goes back in time.
 *
 * A std::pmr::unordered_map with std::pmr::string keys lives in an arena whole: its object, its
 * buckets, its nodes and the characters of its strings. A snapshot is taken; the table is changed
 * beyond recognition; a value of before is read out of the snapshot; and a rollback brings back
 * the table as it was. The program of the table knows nothing of all this.
 */
#include "cowarena.hpp"

#include "arguments.h"
#include "picture.h"
#include "report.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory_resource>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unistd.h>

namespace cow = cowarena_cpp;

using table = std::pmr::unordered_map<std::pmr::string, int>;

static std::uint64_t names = 50000;

/* Long enough that a string cannot keep it inside its own object. */
static std::string key(std::uint64_t i)
{
	return "the name of number " + std::to_string(i);
}

/* A hash of all that is in the table, in the order in which it is found there. */
static std::size_t digest(const table &t)
{
	std::size_t hash = t.bucket_count();
	for (const auto &[name, value] : t)
		hash = (hash ^ std::hash<std::string_view>()(name)) * 31 + std::size_t(value);
	return hash;
}

static void tell(const char *when, const table &t)
{
	std::printf("%-22s %6zu names, %6zu buckets, digest %016zx\n", when, t.size(),
		    t.bucket_count(), digest(t));
}

static void change(table &t)
{
	for (std::uint64_t i = 0; i < names; i += 3)
		t.erase(t.find(std::pmr::string(key(i))));
	for (auto &[name, value] : t)
		value = -value;
	for (std::uint64_t i = names; i < 3 * names; i++)
		t.emplace(key(i), int(i));
}

/* What the library could not do, and why. */
template <class T> static T *must(T *p)
{
	if (!p)
		throw std::runtime_error(cowarena_errmsg());
	return p;
}

static cowarena_options options()
{
	cowarena_options o = COWARENA_OPTIONS_INIT;
	o.engine = demo_choice.engine;
	o.flags = COWARENA_STRICT_ENGINE;
	return o;
}

static cowarena_stats statistics(cowarena *arena)
{
	cowarena_stats s = {};
	s.sz = sizeof s;
	if (cowarena_stats_get(arena, &s))
		throw std::runtime_error(cowarena_errmsg());
	return s;
}

static void run()
{
	const cowarena_options o = options();
	cow::arena_ptr arena(must(cowarena_create(&o)));
	cow::arena_resource resource(arena.get());
	picture *drawn = picture_begin(arena.get());

	table &t = *cow::new_object<table>(resource);
	for (std::uint64_t i = 0; i < names; i++)
		t.emplace(key(i), int(i));
	tell("at the snapshot", t);
	const std::size_t size = t.size(), hash = digest(t);
	const auto found = t.find(std::pmr::string(key(42)));
	const int *value = &found->second;

	cow::snapshot_ptr snapshot(must(picture_take(drawn, arena.get(), 0, "snapshot")));
	change(t);
	tell("changed", t);
	picture_map(drawn, "The table, changed since the snapshot:");

	/* Number 42 has been erased, its node freed. The snapshot still has it, at its address. */
	int before = 0;
	if (cowarena_snapshot_read(snapshot.get(), &before, value, sizeof before))
		throw std::runtime_error(cowarena_errmsg());
	std::printf("%-22s number 42 is %s now, and was %d\n", "",
		    t.count(std::pmr::string(key(42))) ? "there" : "gone", before);

	if (cowarena_rollback(arena.get(), snapshot.get()))
		throw std::runtime_error(cowarena_errmsg());
	picture_note(drawn, "rollback");
	tell("rolled back", t);
	/* The iterator is older than the snapshot: it is right again. */
	if (t.size() != size || digest(t) != hash || before != 42 ||
	    found != t.find(std::pmr::string(key(42))) || found->second != 42)
		throw std::runtime_error("after the rollback the table is another one");

	change(t);
	tell("changed once more", t);
	picture_end(drawn);

	const cowarena_stats s = statistics(arena.get());
	const std::string shared = "a table of " + std::to_string(names) + " names";
	const std::string copied =
	    std::to_string(s.copied + s.copied_ahead) + " of " +
	    std::to_string(s.arena_bytes / std::uint64_t(sysconf(_SC_PAGESIZE))) +
	    " pages, in 2 changes";
	report(shared.c_str(), copied.c_str(), s.faults, "rolled back, the table is as it was");
	/* The owners destroy the arena. The table needs no destructor: it owns nothing outside. */
}

static void read_arguments(int argc, char **argv)
{
	option_row rows[2] = {};
	rows[0].name = "names";
	rows[0].letter = 'n';
	rows[0].arg = "N";
	rows[0].help = "names in the table";
	rows[0].number = &names;
	rows[0].min = 43;
	rows[0].max = 10000000;
	rows[0].small = 3000;

	demo d = {};
	d.about = "A hash table of the C++ standard library goes back in time: all of a\n"
		  "std::pmr::unordered_map is in an arena. A snapshot is taken, the table changed\n"
		  "and rolled back. The exit status is 1 if it is not the one of the snapshot.";
	d.rows = rows;
	d.pages = true;
	demo_arguments(&d, argc, argv);
}

int main(int argc, char **argv)
try {
	read_arguments(argc, argv);
	run();
	return EXIT_SUCCESS;
} catch (const std::bad_alloc &) {
	/* Where the arena is full the library has the better words. */
	std::fprintf(stderr, "pmr: out of memory: %s\n", cowarena_errmsg());
	return EXIT_FAILURE;
} catch (const std::exception &e) {
	std::fprintf(stderr, "pmr: %s\n", e.what());
	return EXIT_FAILURE;
}
