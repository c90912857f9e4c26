/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cow-file.c - a file system's copy-on-write: the power may fail at any moment.
 *
 * A file is changed again and again, several blocks at a time: in place, and by copy-on-write
 * (cow-file-store.c). Each update is then tried with a power cut at each of its writes
 * (cow-file-crash.c). This file tells what was left after the cuts, the old content, the new, or a
 * mix; and what the safety costs. At the end the file system itself is asked for copy-on-write: a
 * copy of a file that shares its blocks.
 */
#include "config.h"

#include "common.h"
#include "arguments.h"
#include "cow-file-crash.h"
#include "quantile.h"
#include "report.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <signal.h>

enum { IN_PLACE, COPY, COPY_UNORDERED, DESIGNS };

static struct plan plan = {.blocks = 128, .changes = 4, .updates = 10, .chances = 16};

/* The directory -------------------------------------------------------------------------------- */

static char directory[PATH_MAX];
static int dir = -1;

static void remove_directory(void)
{
	static const char *const names[] = {"blocks", "original", "clone"};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		unlinkat(dir, names[i], 0);
	rmdir(directory);
}

static void stopped(int signal_number)
{
	remove_directory();
	signal(signal_number, SIG_DFL);
	raise(signal_number);
}

static void make_directory(void)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(directory, sizeof directory, "%s/cow-file-XXXXXX", tmp && *tmp ? tmp : "/tmp");
	if (!mkdtemp(directory))
		die("%s: %s", directory, strerror(errno));
	dir = open(directory, O_DIRECTORY | O_CLOEXEC);
	atexit(remove_directory);
	signal(SIGINT, stopped);
	signal(SIGPIPE, stopped);
	signal(SIGTERM, stopped);
	if (dir < 0)
		die("%s: %s", directory, strerror(errno));
}

/* What came of it ------------------------------------------------------------------------------ */

static void print_costs(const struct design *const *designs, struct outcome *outcomes)
{
	printf("An update changes %" PRIu64 " of %" PRIu64 " blocks of %s bytes. On average:\n\n"
	       "%32s%16s%16s%10s%14s\n",
	       plan.changes, plan.blocks, human_count(BLOCK).text, "blocks written",
	       "bytes written", "amplification", "fsyncs", "median time");
	for (size_t d = 0; d < DESIGNS; d++) {
		struct outcome *o = &outcomes[d];
		double written = (double)o->written / (double)plan.updates;
		printf("%-16s%16.1f%16s%16.2f%10.1f%14s\n", designs[d]->name, written,
		       human_count((uint64_t)(written * BLOCK)).text,
		       written / (double)plan.changes, (double)o->fsyncs / (double)plan.updates,
		       human_time(quantile(o->ns, plan.updates, 0.5)).text);
	}
}

/* Returns the number of cuts that copy-on-write has seen. */
static uint64_t print_cuts(const struct design *const *designs, const struct outcome *outcomes)
{
	uint64_t all[DESIGNS][STATES] = {{0}};

	printf("\nThe power is cut at every write of %" PRIu64 " updates. What is found then:\n\n"
	       "%22s%18s%12s%12s%12s\n",
	       plan.updates, "writes", "cuts", "old", "new", "mixed");
	for (size_t d = 0; d < DESIGNS; d++)
		for (size_t k = 0; k < KINDS; k++) {
			const uint64_t *n = outcomes[d].cuts[k];
			printf("%-16s%-12s%12s%12s%12s%12s\n", k ? "" : designs[d]->name,
			       kind_names[k], human_count(n[OLD] + n[NEW] + n[MIXED]).text,
			       human_count(n[OLD]).text, human_count(n[NEW]).text,
			       human_count(n[MIXED]).text);
			for (size_t s = 0; s < STATES; s++)
				all[d][s] += n[s];
		}
	/* If the harness found no mix where there must be some, it would prove nothing. */
	for (size_t d = 0; d < DESIGNS; d++)
		if (designs[d]->safe != (all[d][MIXED] == 0))
			die("%s: %" PRIu64 " mixes", designs[d]->name, all[d][MIXED]);
	return all[COPY][OLD] + all[COPY][NEW];
}

/* The file system's own ------------------------------------------------------------------------ */

/* The bytes that a file shares with another file; -1 if the system does not tell. */
static int64_t shared_bytes(int fd)
{
	union {
		struct fiemap map;
		char room[sizeof(struct fiemap) + 64 * sizeof(struct fiemap_extent)];
	} u = {.map = {.fm_length = FIEMAP_MAX_OFFSET,
		       .fm_flags = FIEMAP_FLAG_SYNC,
		       .fm_extent_count = 64}};
	int64_t bytes = 0;

	if (ioctl(fd, FS_IOC_FIEMAP, &u.map))
		return -1;
	for (size_t i = 0; i < u.map.fm_mapped_extents; i++)
		if (u.map.fm_extents[i].fe_flags & FIEMAP_EXTENT_SHARED)
			bytes += (int64_t)u.map.fm_extents[i].fe_length;
	return bytes;
}

static void check_file(int fd, uint64_t changed)
{
	uint64_t words[BLOCK / sizeof(uint64_t)];

	for (uint64_t i = 0; i < plan.blocks; i++) {
		block_done(pread(fd, words, BLOCK, (off_t)(i * BLOCK)));
		for (size_t w = 0; w < BLOCK / sizeof *words; w++)
			if (words[w] != (i == changed ? ~i : i))
				die("a write to the clone of a file went to the wrong place");
	}
}

static void write_file(int fd, uint64_t block, uint64_t value)
{
	uint64_t words[BLOCK / sizeof(uint64_t)];

	for (size_t w = 0; w < BLOCK / sizeof *words; w++)
		words[w] = value;
	block_done(pwrite(fd, words, BLOCK, (off_t)(block * BLOCK)));
}

static void reflink(void)
{
	int original = open_in(dir, "original"), clone = open_in(dir, "clone");
	uint64_t changed = plan.blocks / 2;

	for (uint64_t i = 0; i < plan.blocks; i++)
		write_file(original, i, i);
	if (fsync(original))
		file_failed();
	if (ioctl(clone, FICLONE, original)) {
		printf("\nReflink: not on this file system (FICLONE: %s).\n", strerror(errno));
	} else {
		int64_t before = shared_bytes(clone);
		write_file(clone, changed, ~changed);
		check_file(original, plan.blocks);
		check_file(clone, changed);
		int64_t after = shared_bytes(clone);
		printf("\nReflink: one block of a file's clone is written, the original stays as "
		       "it was.\n");
		if (before >= 0 && after >= 0)
			printf(
			    "The file system says that they share %s before that and %s after.\n",
			    human_bytes((uint64_t)before).text, human_bytes((uint64_t)after).text);
	}
	close(original);
	close(clone);
}

static const struct option_row rows[] = {
    {"blocks", 'b', "N", "size of the file", .number = &plan.blocks, .min = 2, .max = BLOCKS_MAX},
    {"changes", 'c', "N", "how many blocks an update changes", .number = &plan.changes, .min = 2,
     .max = BLOCKS_MAX},
    {"updates", 'u', "N", "how many updates", .number = &plan.updates, .min = 1, .max = UPDATES_MAX,
     .small = 1},
    {"chances", 'r', "N", "random power cuts at each write", .number = &plan.chances, .min = 1,
     .max = 10000},
    {0},
};

int main(int argc, char **argv)
{
	static const struct demo demo = {
	    .about =
		"A file is changed in place and by copy-on-write, and the power is cut at every"
		" write:\nwhich of the two is ever left between the old content and the new?",
	    .rows = rows,
	};
	static const struct design *const designs[DESIGNS] = {&in_place, &copy_on_write,
							      &copy_without_fsync};
	static struct outcome outcomes[DESIGNS];
	char shared[80], copied[80], verified[80];

	demo_arguments(&demo, argc, argv);
	if (plan.changes > plan.blocks)
		usage_error("an update cannot change more blocks than there are");
	make_directory();
	for (size_t d = 0; d < DESIGNS; d++)
		outcomes[d] = try_design(designs[d], &plan, dir);
	print_costs(designs, outcomes);
	uint64_t cuts = print_cuts(designs, outcomes);
	struct sharing s = outcomes[COPY].sharing;
	printf("\nThe content before the last update is still there, by the other root. Both roots "
	       "reach"
	       "\n%" PRIu64 " blocks of data and pointers; the new one alone %" PRIu64
	       ", the old one alone %" PRIu64 ".\n",
	       s.shared, s.newer, s.older);
	reflink();
	snprintf(shared, sizeof shared, "%" PRIu64 " blocks by 2 roots", s.shared);
	snprintf(copied, sizeof copied, "%.1f blocks for %" PRIu64 " changed",
		 (double)outcomes[COPY].written / (double)plan.updates, plan.changes);
	snprintf(verified, sizeof verified, "%s power cuts: old or new, never mixed",
		 human_count(cuts).text);
	report(shared, copied, 0, verified);
	return EXIT_SUCCESS;
}
