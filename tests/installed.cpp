/* SPDX-License-Identifier: BSD-2-Clause */
/* A user's program in C++17: compiled by installed.sh against the installed library only. */
#include <cowarena.hpp>

#include <cstdint>
#include <cstdio>
#include <map>
#include <memory_resource>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			std::fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #condition,    \
				     cowarena_errmsg());                                           \
			return 1;                                                                  \
		}                                                                                  \
	} while (0)

using table = std::pmr::map<int, std::pmr::string>;

struct thrower {
	thrower()
	{
		throw std::runtime_error("meant to be");
	}
};

static std::uint64_t live_bytes(const cowarena_cpp::arena_resource &resource)
{
	struct cowarena_stats stats = {};
	stats.sz = sizeof stats;
	cowarena_stats_get(resource.arena(), &stats);
	return stats.live_bytes;
}

int main()
{
	using namespace cowarena_cpp;

	struct cowarena_options options = COWARENA_OPTIONS_INIT;
	options.capacity = std::size_t(64) << 20;
	arena_ptr arena(cowarena_create(&options));
	CHECK(arena);
	arena_resource resource(arena.get());

	/* Equal to others of its arena, and to nothing else. */
	arena_resource same(arena.get());
	arena_ptr other_arena(cowarena_create(&options));
	arena_resource other(other_arena.get());
	CHECK(resource == same);
	CHECK(resource != other);
	CHECK(resource != *std::pmr::new_delete_resource());

	/* Any alignment; and failure is std::bad_alloc. */
	for (std::size_t alignment = 1; alignment <= 65536; alignment *= 2) {
		void *p = resource.allocate(100, alignment);
		CHECK(cowarena_contains(arena.get(), p));
		CHECK(reinterpret_cast<std::uintptr_t>(p) % alignment == 0);
		resource.deallocate(p, 100, alignment);
	}
	bool thrown = false;
	try {
		void *p = resource.allocate(options.capacity * 2);
		resource.deallocate(p, options.capacity * 2);
	} catch (const std::bad_alloc &) {
		thrown = true;
	}
	CHECK(thrown);
	thrown = false;
	try {
		new_object<thrower>(resource);
	} catch (const std::runtime_error &) {
		thrown = true;
	}
	CHECK(thrown);
	CHECK(live_bytes(resource) == 0);

	/* A container with all it owns, back from a snapshot. */
	table *t = new_object<table>(resource);
	for (int i = 0; i < 1000; i++)
		t->emplace(i, std::string(100, 'a'));
	CHECK(cowarena_contains(arena.get(), t->at(500).data()));
	snapshot_ptr snapshot(cowarena_snapshot_take(arena.get(), 0));
	CHECK(snapshot);
	for (int i = 0; i < 1000; i += 2)
		t->erase(i);
	t->at(501) = "changed";
	view_ptr view(cowarena_view_open(snapshot.get(), 0));
	CHECK(view);
	view.reset();
	CHECK(cowarena_rollback(arena.get(), snapshot.get()) == 0);
	CHECK(t->size() == 1000);
	for (int i = 0; i < 1000; i++)
		CHECK(t->at(i) == std::string(100, 'a').c_str());

	delete_object(resource, t);
	delete_object<table>(resource, nullptr);
	CHECK(live_bytes(resource) == 0);
	std::printf("cowarena.hpp: ok\n");
	return 0;
}
