/* SPDX-License-Identifier: BSD-2-Clause */
/* forkcow.h - what the two sides of forkcow share, and what each must offer. */
#ifndef COWARENA_DEMOS_FORKCOW_H
#define COWARENA_DEMOS_FORKCOW_H

#include "common.h"
#include "picture.h"

#define DEPTH_MAX 2
#define STEPS_MAX (2 * DEPTH_MAX)
#define ROUNDS_MAX 99

/* The trace, and the story: take A, write, take B, write, release A, write, release B, write. */
struct plan {
	size_t pages, page_size, depth, steps, writes, rounds;
	size_t *trace; /* offsets of the words to write, the same for both sides */
};

struct account {
	uint64_t faults, copied, reused;
};

/* One of the two extremes, measured several times. */
struct extreme {
	struct account counted; /* in the last round; parent and child together */
	uint64_t held;          /* before it is dropped, in bytes */
	uint64_t take_ns[ROUNDS_MAX], drop_ns[ROUNDS_MAX];
	uint64_t cow_ns[ROUNDS_MAX];   /* whole duration: snapshot, writes, faults and copies */
	uint64_t eager_ns[ROUNDS_MAX]; /* whole duration with a memcpy() of everything up front */
};

struct side {
	const struct plan *plan;
	const struct side_ops *ops;
	const char *name;
	char *base;
	uint64_t pause_ns[DEPTH_MAX], held[STEPS_MAX], write_ns;
	uint64_t hash[DEPTH_MAX + 1]; /* of each snapshot, and of the memory at the end */
	struct account counted;       /* by the counters */
	struct account seen;          /* by a look at the pages */
	unsigned char *looks;         /* the last thing that happened to each page */
	struct extreme best, worst;
};

/* A round in which all of both memories, the parent's and the child's, is written. */
struct round {
	size_t number;
	uint64_t parent_seed, child_seed;
	uint64_t before, parent, child; /* the hashes that the memories must have */
};

/* The two sides: fork() and the arena. */
struct side_ops {
	/* Take snapshot i and return the pause in ns. */
	uint64_t (*take)(struct side *, size_t i);
	/* Hash what snapshot i holds and release it. */
	uint64_t (*release)(struct side *, size_t i);
	/* For each page, whether the youngest snapshot has its own copy. Not called without a
	   snapshot. */
	void (*separate)(struct side *, unsigned char *pages);
	/* Memory that only the snapshots need, in bytes. */
	uint64_t (*held)(struct side *);
	/* Called right before and after the writes; `before` may be NULL. */
	void (*before)(struct side *);
	struct account (*after)(struct side *);
	/* One round of an extreme: take a snapshot and drop it unused; write all pages on both
	   sides of a snapshot. They die if any contents are wrong. */
	void (*drop)(struct side *, size_t round);
	void (*both)(struct side *, const struct round *);
};

extern const struct side_ops fork_ops, arena_ops;

/* The arena of arena_ops. */
extern cowarena *arena;
extern struct picture *picture;

/* Why a child of fork_ops could not call exec(), or 0. */
extern int exec_error;

/* ---------------------------------------------------------------------------------------------- */

/* Which pages write_pages() writes. */
enum which { ALL, EVEN, ODD };

/* Make the trace of writes ("sequential", ...), and pages to run it on. */
void make_trace(struct plan *plan, const char *pattern);
char *map_region(const struct plan *plan);
void unmap_region(const struct plan *plan, char *base);
void fill(const struct plan *plan, char *base);
void run_trace(char *base, const size_t *trace, size_t from, size_t to);
/* Write a word of each page, with values that depend on seed. */
void write_pages(const struct plan *plan, char *base, enum which which, uint64_t seed);
uint64_t hash_bytes(uint64_t hash, const void *data, size_t n);

/* Run both extremes, all rounds. */
void play_extremes(struct side *side);

/* Print the head of a table. */
void print_head(void);

/* Print a line: a value on each side. Returns `good`; marks the line if it is false. */
bool row(const char *what, struct human kernel, struct human ours, bool good);

/* Print the tables of the extremes. `copies`, `faults`: whether these counts must be right. Returns
   false if one is wrong. */
bool print_extremes(const struct side *k, const struct side *o, bool copies, bool faults);

#endif
