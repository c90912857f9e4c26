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

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory_resource>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unordered_map>

namespace cow = cowarena_cpp;

using table = std::pmr::unordered_map<std::pmr::string, int>;

/* Long enough that a string cannot keep it inside its own object. */
static std::string key(int i)
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
	for (int i = 0; i < 50000; i += 3)
		t.erase(t.find(std::pmr::string(key(i))));
	for (auto &[name, value] : t)
		value = -value;
	for (int i = 50000; i < 150000; i++)
		t.emplace(key(i), i);
}

/* What the library could not do, and why. */
template <class T> static T *must(T *p)
{
	if (!p)
		throw std::runtime_error(cowarena_errmsg());
	return p;
}

static bool run()
{
	cow::arena_ptr arena(must(cowarena_create(nullptr)));
	cow::arena_resource resource(arena.get());

	table &t = *cow::new_object<table>(resource);
	for (int i = 0; i < 50000; i++)
		t.emplace(key(i), i);
	tell("at the snapshot", t);
	const std::size_t size = t.size(), hash = digest(t);
	const auto found = t.find(std::pmr::string(key(42)));
	const int *value = &found->second;

	cow::snapshot_ptr snapshot(must(cowarena_snapshot_take(arena.get(), 0)));
	change(t);
	tell("changed", t);

	/* Number 42 has been erased, its node freed. The snapshot still has it, at its address. */
	int before = 0;
	if (cowarena_snapshot_read(snapshot.get(), &before, value, sizeof before))
		throw std::runtime_error(cowarena_errmsg());
	std::printf("%-22s number 42 is %s now, and was %d\n", "",
		    t.count(std::pmr::string(key(42))) ? "there" : "gone", before);

	if (cowarena_rollback(arena.get(), snapshot.get()))
		throw std::runtime_error(cowarena_errmsg());
	tell("rolled back", t);
	/* The iterator is older than the snapshot: it is right again. */
	bool right = t.size() == size && digest(t) == hash && before == 42 &&
		     found == t.find(std::pmr::string(key(42))) && found->second == 42;

	change(t);
	tell("changed once more", t);

	struct cowarena_stats stats = {};
	stats.sz = sizeof stats;
	cowarena_stats_get(arena.get(), &stats);
	std::printf("\nBoth changes took %ju faults and copied %ju pages, of %ju in use.\n",
		    std::uintmax_t(stats.faults), std::uintmax_t(stats.copied + stats.copied_ahead),
		    std::uintmax_t(stats.arena_bytes / 4096));
	std::puts(right ? "After the rollback the table was the one of the snapshot."
			: "WRONG: after the rollback the table was another one.");
	return right;
	/* The owners destroy the arena. The table needs no destructor: it owns nothing outside. */
}

int main()
try {
	return run() ? EXIT_SUCCESS : EXIT_FAILURE;
} catch (const std::exception &e) {
	/* std::bad_alloc, where the arena is full: the library has the better words. */
	std::fprintf(stderr, "pmr: %s: %s\n", e.what(), cowarena_errmsg());
	return EXIT_FAILURE;
}
