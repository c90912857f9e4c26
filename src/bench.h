/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench.h - the parts of `cowarena bench`.
 *
 * A scenario is written once and runs on two sides with the same operations: an arena
 * (bench-ours.c) and a process that forks (bench-fork.c). The forking side is a separate process,
 * so that neither side pays for the other's page tables and mappings; it answers one round at a
 * time.
 */
#ifndef BENCH_H
#define BENCH_H

#include "costs.h"
#include "cowarena.h"

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

/* ---- options: bench-options.c ---- */

struct bench_options {
	size_t size; /* with `scaling`, the largest size */
	unsigned rounds, engine;
	bool huge, scaling;
	bool chosen[32]; /* indexed as scenarios[] */
	size_t choices;  /* 0 = all */
	const char *json, *plot;
};

/* Returns: EXIT_OK, or EXIT_ERROR after a message. */
int bench_parse(int argc, char **argv, struct bench_options *want);

static inline bool bench_wants(const struct bench_options *want, size_t scenario)
{
	return !want->choices || want->chosen[scenario];
}

/* ---- scenarios: bench-scenarios.c ---- */

/* Which pages are written, in which order: equal on all sides. */
struct pages {
	size_t page, count;
	uint32_t *order; /* a permutation */
	double *zipf;    /* cumulative distribution of the ranks */
};

/* Returns: 0; or -1 when there is no memory. To be freed in either case. */
int pages_init(struct pages *pages, size_t size);
void pages_free(struct pages *pages);
/* Room for the longest list of pages that a scenario writes. Returns: NULL when there is no
   memory. */
uint32_t *pages_list(const struct pages *pages);

struct side;

/* Each returns 0, or -1 with the reason in the side's `error`. */
struct side_ops {
	/* Freeze the memory. The previous freeze ends, which does not count in *seconds. */
	int (*freeze)(struct side *side, unsigned flags, double *seconds);
	int (*view)(struct side *side, unsigned flags);
	int (*thaw)(struct side *side);
	int (*settle)(struct side *side); /* put the memory in huge pages, if the side has them */
	int (*save)(struct side *side);   /* for restore; freezes no more than needed */
	int (*restore)(struct side *side, double *seconds);
	int (*held)(struct side *side, size_t dirty, double *bytes);
	/* Make memory ready for a system call that stores there. */
	int (*ready)(struct side *side, char *p, size_t n);
	/* From now on somebody reads the first side->past bytes of the frozen memory, over and
	   over; or stops. Freeze with `past` set. */
	int (*read)(struct side *side, bool begin);
	/* Write all memory to a file, or what was written since the last time. The rival always
	   writes all, by write(2). Neither waits for the disk. */
	int (*write_out)(struct side *side, bool increment, double *seconds);
	/* Write all memory to a file while the first n pages of side->list are written to, once.
	   *bytes: the most memory that was taken meanwhile. */
	int (*write_out_busy)(struct side *side, size_t n, double *bytes);
};

struct side {
	const struct side_ops *ops;
	const struct pages *pages;
	char *block;
	uint32_t *list; /* pages to write in this round */
	double drop;    /* seconds that ending the previous freeze took, if they count */
	size_t past;
	bool has_table; /* big_value() has made it */
	size_t writes;  /* of write_out_busy() */
	char error[400];
	/* the arena */
	cowarena *arena;
	cowarena_snapshot *snapshot;
	cowarena_view *view;
	pthread_t reader;
	_Atomic bool stop;
	/* the forking process */
	pid_t child;
	char *copy;
	bool huge;
};

/* A short measurement is repeated within a round, at most this often and this long. */
#define REPEATS 5001
#define REPEAT_SECONDS 0.25

struct scenario {
	const char *key, *unit;
	int (*run)(struct side *side, unsigned round, double *value);
	double scale;  /* units in one second, or one byte, of the result of `run` */
	bool repeated; /* a round's value is the median of several measurements */
};

extern const struct scenario scenarios[];
extern const size_t scenario_count;

/* One round. Returns: 0, or -1 with side->error. */
int scenario_run(const struct scenario *scenario, struct side *side, unsigned round, double *value);

double seconds_now(void);
/* Read n bytes, a word in each line of the cache. */
void read_lines(const char *p, size_t n);
/* The name of this process's file for write_out(), in $TMPDIR; and remove the file. */
const char *side_file(void);
void side_file_remove(void);
/* Keep what failed, and errno in words. Returns: -1. */
int side_fail(struct side *side, const char *what);

/* ---- the sides: bench-ours.c, bench-fork.c ---- */

int ours_open(struct side *side, const struct pages *pages, unsigned engine);
void ours_close(struct side *side);

/* A process that forks. */
struct rival {
	pid_t pid;
	int fd;
};

/* Start the rival, before there is an arena. Returns: 0, or -1 with errno. */
int rival_start(struct rival *rival, const struct scenario *scenario, const struct pages *pages,
		bool huge);
/* error: room for at least 400 bytes. */
int rival_run(struct rival *rival, unsigned round, double *value, char *error);
void rival_stop(struct rival *rival);

/* ---- measuring: bench-run.c; at several sizes: bench-scaling.c ---- */

struct range {
	double median, min, max;
};

struct result {
	const struct scenario *scenario; /* NULL if it did not run, or failed */
	bool alone;                      /* there was no rival */
	char engine[16];
	struct range ours, rival, ratio, huge, huge_ratio;
};

/* Run the sides in turn, round by round. Returns: 0, or -1 after a message that begins with
   `label`. */
int measure(const struct bench_options *want, const struct scenario *scenario,
	    const struct pages *pages, const char *label, bool alone, struct result *result);

/* Sorts the values. bench-range.c */
struct range range_of(double *values, unsigned n);

/* Memory that programs can use now without swapping. */
double memory_available(void);

struct point {
	size_t size;
	struct scenario scenario; /* scaled_scenario() adapts it to the size */
	struct result result;
};

enum { SCALED = 4, MAX_SIZES = 20 };

struct series {
	const char *key, *unit;
	double dirty;      /* share of the pages that is written, and so takes memory */
	bool per_page;     /* `run` returns the time for all pages written */
	bool is_pause;     /* drawn in the plot's panel of pauses */
	unsigned measured; /* points */
	struct point points[MAX_SIZES];
};

/* The keys of the scenarios measured at several sizes, for messages. */
extern const char scaling_keys[];
bool scaling_has(const char *key);

/* Returns: EXIT_OK, or EXIT_ERROR after a message. */
int bench_scaling(const struct bench_options *want);

/* ---- output files, complete or absent: bench-output.c ---- */

struct output {
	const char *path;
	char written[PATH_MAX]; /* its name until it is complete */
	FILE *file;
};

/* Whether a file can be written at the end. Asked before the measurements. Sets errno. */
bool output_possible(const char *path);
void output_begin(struct output *output, const char *path);
/* Move a complete file to its place, or remove an incomplete one. Returns: 0; or -1 if it is
   incomplete, or with errno. */
int output_end(struct output *output, bool whole);
/* Open such a file for writing; close it. They return NULL, and -1, with errno. */
FILE *output_open(struct output *output, const char *path);
int output_close(struct output *output);

/* ---- reports: bench-report.c, bench-plot.c, bench-plot-scaling.c ---- */

struct report {
	const struct bench_options *want;
	struct result *results; /* one per scenario, as scenarios[] */
	const char *engine;
	const struct costs *costs; /* NULL if they could not be measured */
};

/* Print ours, the rival's and the ratio in columns of fixed width. The label begins the line. */
void report_head(const char *label);
void report_row(const char *label, const struct result *result);
void report_huge_row(const char *label, const struct result *result);
/* Write want->json. Returns: 0, or -1 with errno. */
int report_json(const struct report *report);

/* Write the members "ratio", "ours" and "rival" of an object, and those for huge pages. */
void json_ranges(FILE *to, const struct result *result, bool huge);
/* Write the member "host". costs: may be NULL. */
void json_host(FILE *to, const struct bench_options *want, const char *engine,
	       const struct costs *costs);
/* Say what kind of machine this is. */
void report_costs(const struct costs *costs);

bool plot_possible(void);
/* Draw want->plot. Return: 0, or -1. */
int plot_ratios(const struct report *report);
int plot_scaling(const struct bench_options *want, const struct series *series, const char *engine);

struct gnuplot {
	FILE *to;
	void (*sigpipe)(int); /* handler to restore */
	struct output output;
};

/* Start gnuplot with an empty picture of this size. Returns: 0 or -1. */
int gnuplot_open(struct gnuplot *gnuplot, const char *path, size_t width, size_t height);
/* Returns: 0, or -1 when gnuplot could not draw. */
int gnuplot_close(struct gnuplot *gnuplot);

#endif
