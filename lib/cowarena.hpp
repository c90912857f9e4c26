/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cowarena.hpp - an arena as a std::pmr::memory_resource. C++17, header only.
 *
 *	using namespace cowarena_cpp;
 *	using table = std::pmr::unordered_map<std::pmr::string, int>;
 *
 *	arena_ptr arena(cowarena_create(nullptr));             // null on failure: cowarena_errmsg()
 *	arena_resource resource(arena.get());
 *	table &words = *new_object<table>(resource);           // the map itself is in the arena too
 *	words["one"] = 1;
 *	snapshot_ptr before(cowarena_snapshot_take(arena.get(), 0));
 *	words["two"] = 2;
 *	cowarena_rollback(arena.get(), before.get());          // words has "one" only
 *
 * (The namespace cannot be named cowarena: that is the name of a C type.) What cowarena.h says
 * holds here too. C++ adds:
 *
 * ROLLBACK AND CONTAINERS
 *   A rollback puts the bytes of the arena back, and knows nothing of objects: no destructor and no
 *   constructor runs.
 *   - The container object has to be in the arena as well (new_object() puts it there). One on the
 *     stack keeps its size and its pointers of the present, while its elements go back to the past.
 *     A container on the stack will do only if the snapshot is older than it, and it is not used,
 *     nor destroyed, any more.
 *   - Elements have to keep all that they own in the arena. std::pmr::string in a std::pmr
 *     container does, by itself; std::string, std::unique_ptr, std::function, a std::fstream do
 *     not.
 *   - Iterators, pointers and references of before the snapshot are right again after the rollback,
 *     whatever happened in between. Younger ones are not; let nothing outside the arena keep one.
 *   - What was destroyed after the snapshot is alive again, and what was made after it is gone
 *     without a destructor. So an object whose destructor does more than give memory back does not
 *     belong in an arena.
 *   - Take snapshots, and roll back, between operations on the containers and not in the middle of
 *     one.
 *
 * READING THE PAST
 *   The pointers in a view lead into the live heap, and containers follow their own. So do not use
 *   a container in a view. cowarena_snapshot_read() gives the past of an element whose address is
 *   known, if it is trivially copyable.
 *
 * END
 *   cowarena_destroy() takes all memory at once, and runs no destructor. As the objects of an arena
 *   own nothing outside it, none has to be run. Containers that are outside the arena, and use its
 *   memory, end before it does.
 *
 * THREADS
 *   A resource is as safe as cowarena_alloc(): all threads may use it. The containers are not made
 *   safe by it. A rollback changes them under every thread's feet.
 *
 * EXCEPTIONS
 *   Only std::bad_alloc, where no memory is to be had; cowarena_errmsg() then tells more. The three
 *   functions that the owners call in the end do not throw: who wants to know what
 *   cowarena_view_close() says calls it on .release().
 */
#ifndef COWARENA_HPP
#define COWARENA_HPP

#include "cowarena.h"

#include <cstddef>
#include <memory>
#include <memory_resource>
#include <new>
#include <utility>

/* One type for all parts of a program, or is_equal() could take its objects for strangers. */
#ifdef __GNUC__
#pragma GCC visibility push(default)
#endif

namespace cowarena_cpp
{

/* ============================================================================================
 * The memory resource
 * ========================================================================================= */

/*
 * Memory of an arena for std::pmr containers. It does not own the arena, which must live longer.
 *
 * Containers keep a pointer to the resource: it must live as long as they, at one place, and so
 * must not be made in the arena after a snapshot that is rolled back to. It never changes. Two
 * resources of one arena are equal.
 */
class arena_resource : public std::pmr::memory_resource
{
      public:
	explicit arena_resource(::cowarena *arena) noexcept : arena_(arena)
	{
	}

	::cowarena *arena() const noexcept
	{
		return arena_;
	}

      protected:
	void *do_allocate(std::size_t bytes, std::size_t alignment) override
	{
		void *p = alignment <= 16 ? cowarena_alloc(arena_, bytes)
					  : cowarena_aligned_alloc(arena_, alignment, bytes);
		if (!p)
			throw std::bad_alloc();
		return p;
	}

	void do_deallocate(void *p, std::size_t, std::size_t) override
	{
		cowarena_free(arena_, p);
	}

	bool do_is_equal(const std::pmr::memory_resource &other) const noexcept override
	{
		auto resource = dynamic_cast<const arena_resource *>(&other);
		return resource && resource->arena_ == arena_;
	}

      private:
	::cowarena *arena_;
};

/*
 * Make an object in the arena. A type that takes an allocator gets one of this resource.
 *
 * Returns: the object. Throws: std::bad_alloc, and what the constructor throws; then nothing stays.
 */
template <class T, class... Args> T *new_object(arena_resource &resource, Args &&...args)
{
	std::pmr::polymorphic_allocator<T> allocator(&resource);
	T *p = allocator.allocate(1);
	try {
		allocator.construct(p, std::forward<Args>(args)...);
	} catch (...) {
		allocator.deallocate(p, 1);
		throw;
	}
	return p;
}

/* Destroy an object of new_object(), and free it. p: nullptr does nothing. */
template <class T> void delete_object(arena_resource &resource, T *p) noexcept
{
	if (!p)
		return;
	p->~T();
	cowarena_free(resource.arena(), p);
}

/* ============================================================================================
 * Owners
 * ============================================================================================
 *
 * What is declared first goes last: declare the arena, then its snapshots, then their views. In any
 * other order close and release by hand: a snapshot with an open view is not released, and
 * destroying an arena ends its snapshots and views.
 */

struct arena_deleter {
	void operator()(::cowarena *arena) const noexcept
	{
		cowarena_destroy(arena);
	}
};

struct snapshot_deleter {
	void operator()(::cowarena_snapshot *snapshot) const noexcept
	{
		cowarena_snapshot_release(snapshot);
	}
};

struct view_deleter {
	void operator()(::cowarena_view *view) const noexcept
	{
		cowarena_view_close(view);
	}
};

using arena_ptr = std::unique_ptr<::cowarena, arena_deleter>;
using snapshot_ptr = std::unique_ptr<::cowarena_snapshot, snapshot_deleter>;
using view_ptr = std::unique_ptr<::cowarena_view, view_deleter>;

} /* namespace cowarena_cpp */

#ifdef __GNUC__
#pragma GCC visibility pop
#endif

#endif
