/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench.h - the parts of `cowarena bench`.
 *
 * A scenario is written once and run on two sides that offer the same operations: an arena
 * (bench-ours.c) and a process that forks (bench-fork.c). The forking side is a process of its own,
 * so that neither pays for the other's page tables and mappings; it answers one round at a time.
 */
#ifndef BENCH_H
#define BENCH_H

#include "cowarena.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

/* Which pages are written, in which order: the same on all sides. */
struct pages {
	size_t page, count;
	uint32_t *order; /* a permutation */
	double *zipf;    /* the distribution of ranks, summed up */
};

int pages_init(struct pages *pages, size_t size);
void pages_free(struct pages *pages);

struct side;

/* Each returns 0, or -1 with the reason in the side's `error`. */
struct side_ops {
	/* Freeze the memory; what was frozen before is let go, outside of *seconds. */
	int (*freeze)(struct side *side, unsigned flags, double *seconds);
	int (*view)(struct side *side, unsigned flags);
	int (*thaw)(struct side *side);
	int (*save)(struct side *side); /* for restore; freezes no more than it must */
	int (*restore)(struct side *side, double *seconds);
	int (*held)(struct side *side, size_t dirty, double *bytes);
};

struct side {
	const struct side_ops *ops;
	const struct pages *pages;
	char *block;
	uint32_t *list; /* pages to write in this round */
	double drop;    /* seconds that letting go took in the last freeze, if they count */
	char error[400];
	/* the arena */
	cowarena *arena;
	cowarena_snapshot *snapshot;
	cowarena_view *view;
	/* the forking process */
	pid_t child;
	char *copy;
	bool huge;
};

struct scenario {
	const char *key, *unit;
	int (*run)(struct side *side, unsigned round, double *value);
	double scale; /* units in what `run` gives: seconds, or bytes */
};

extern const struct scenario scenarios[];
extern const size_t scenario_count;

/* One round. Returns: 0, or -1 with side->error. */
int scenario_run(const struct scenario *scenario, struct side *side, unsigned round, double *value);

double seconds_now(void);
int side_fail(struct side *side, const char *what);

int ours_open(struct side *side, const struct pages *pages, unsigned engine);
void ours_close(struct side *side);

/* The process that forks. */
struct rival {
	pid_t pid;
	int fd;
};

/* Returns: 0, or -1 with errno. It is to be started before there is an arena. */
int rival_start(struct rival *rival, const struct scenario *scenario, const struct pages *pages,
		bool huge);
/* error: at least 400 bytes. */
int rival_run(struct rival *rival, unsigned round, double *value, char *error);
void rival_stop(struct rival *rival);

/* What came out. */
struct range {
	double median, min, max;
};

struct result {
	const struct scenario *scenario; /* NULL = was not run */
	struct range ours, rival, ratio, huge, huge_ratio;
};

struct report {
	struct result *results;
	size_t size;
	unsigned rounds;
	bool with_huge;
	char engine[16];
};

struct range range_of(const double *values, unsigned n);
void report_head(void);
void report_row(const struct report *report, const struct result *result);
int report_json(const struct report *report, FILE *to);
bool plot_possible(void);
int plot(const struct report *report, const char *path);

#endif
