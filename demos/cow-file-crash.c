/* SPDX-License-Identifier: BSD-2-Clause */
/* cow-file-crash.c - see cow-file-crash.h. */
#include "config.h"

#include "common.h"
#include "cow-file-crash.h"

#include <fcntl.h>

#define SECTOR 512
#define WHOLE 0xff /* all sectors of a block */

void file_failed(void)
{
	die("the file: %s", strerror(errno));
}

void block_done(ssize_t done)
{
	if (done < 0)
		file_failed();
	if (done != BLOCK)
		die("the file: part of a block only is read or written");
}

int open_in(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0)
		file_failed();
	return fd;
}

/* The device: a file, and a log of what is written to it --------------------------------------- */

struct write {
	uint64_t block;
	unsigned fsyncs; /* number of fsyncs before it */
	unsigned char before[BLOCK], after[BLOCK];
};

struct device {
	int fd;
	struct write *log;
	size_t length, size;
	unsigned fsyncs;
	bool playing; /* replaying what a cut leaves: no need to wait for the disk */
};

void device_read(struct device *device, uint64_t block, void *data)
{
	block_done(pread(device->fd, data, BLOCK, (off_t)(block * BLOCK)));
}

/* Write the sectors of a block whose bit is set in the mask. */
static void write_sectors(struct device *device, uint64_t block, const unsigned char *data,
			  unsigned mask)
{
	if (device->length == device->size) {
		device->size = 2 * device->size + 64;
		device->log = realloc(device->log, device->size * sizeof *device->log);
		if (!device->log)
			die("out of memory");
	}
	struct write *w = &device->log[device->length++];
	w->block = block;
	w->fsyncs = device->fsyncs;
	device_read(device, block, w->before);
	for (unsigned s = 0; s < BLOCK / SECTOR; s++)
		memcpy(w->after + s * SECTOR,
		       (mask >> s & 1 ? data : w->before) + (size_t)s * SECTOR, SECTOR);
	block_done(pwrite(device->fd, w->after, BLOCK, (off_t)(block * BLOCK)));
}

void device_write(struct device *device, uint64_t block, const void *data)
{
	write_sectors(device, block, data, WHOLE);
}

void device_sync(struct device *device)
{
	device->fsyncs++;
	if (!device->playing && fsync(device->fd))
		file_failed();
}

/* Restore what the logged writes have overwritten. */
static void undo(struct device *device)
{
	while (device->length) {
		const struct write *w = &device->log[--device->length];
		block_done(pwrite(device->fd, w->before, BLOCK, (off_t)(w->block * BLOCK)));
	}
	device->fsyncs = 0;
}

/* Cuts ----------------------------------------------------------------------------------------- */

const char *const kind_names[] = {"clean", "torn", "reordered"};

/* A design, and the update being tried. */
struct trial {
	const struct design *design;
	const struct plan *plan;
	struct outcome *outcome;
	struct device *device;
	struct change *changes;
	unsigned char *older, *old, *new, *now; /* contents: before `old`, ..., and as read */
	struct write *script;                   /* what the update writes */
	size_t length;
};

static bool same(const struct trial *t, const unsigned char *content)
{
	return memcmp(t->now, content, t->plan->blocks * BLOCK) == 0;
}

static enum state look(struct trial *t)
{
	if (!t->design->read(t->device, t->plan->blocks, 0, t->now))
		return MIXED;
	return same(t, t->old) ? OLD : same(t, t->new) ? NEW : MIXED;
}

/* Check the previous content, if the design keeps it. Only a slot that a cut has torn may lack
   it. */
static void look_back(struct trial *t, enum state state, bool torn)
{
	if (!t->design->sharing || !t->design->safe)
		return;
	if (t->design->read(t->device, t->plan->blocks, 1, t->now)
		? !same(t, state == NEW ? t->old : t->older)
		: !torn)
		die("%s: the content before the %s one is lost", t->design->name,
		    state == NEW ? "new" : "old");
}

/* The power goes after k writes, of each of which the sectors in its mask have landed. */
static void cut(struct trial *t, enum kind kind, size_t k, const unsigned char *masks)
{
	for (size_t i = 0; i < k; i++)
		if (masks[i])
			write_sectors(t->device, t->script[i].block, t->script[i].after, masks[i]);
	enum state state = look(t);
	t->outcome->cuts[kind][state]++;
	if (t->design->safe && state == MIXED)
		die("%s: after %zu of %zu writes (%s) the content is neither old nor new",
		    t->design->name, k, t->length, kind_names[kind]);
	if (kind == CLEAN && ((k == 0 && state != OLD) || (k == t->length && state != NEW)))
		die("%s: what was synced is not there", t->design->name);
	look_back(t, state, kind != CLEAN);
	if (t->design->safe || kind == CLEAN) {
		t->design->update(t->device, t->plan->blocks, t->changes, t->plan->changes);
		if (look(t) != NEW)
			die("%s: no update is possible after a cut", t->design->name);
	}
	undo(t->device);
}

static void cut_everywhere(struct trial *t, uint64_t random)
{
	unsigned char *masks = allocate(t->length + 1, 1);

	for (size_t k = 0; k <= t->length; k++) {
		size_t synced = k; /* the writes since the last fsync are those from here to k */
		while (synced && t->script[synced - 1].fsyncs == t->script[k - 1].fsyncs)
			synced--;
		memset(masks, WHOLE, k);
		cut(t, CLEAN, k, masks);
		for (unsigned s = 1; k && s < BLOCK / SECTOR; s++) {
			masks[k - 1] = (unsigned char)((1u << s) - 1);
			cut(t, TORN, k, masks);
			masks[k - 1] ^= WHOLE;
			cut(t, TORN, k, masks);
		}
		for (size_t missing = synced; missing + 1 < k; missing++) {
			memset(masks, WHOLE, k);
			masks[missing] = 0;
			cut(t, REORDERED, k, masks);
		}
		for (size_t c = 0; k && c < t->plan->chances; c++) {
			for (size_t i = synced; i < k; i++) {
				uint64_t r = mix(random += 0x9e3779b97f4a7c15);
				masks[i] = r % 3 == 0 ? WHOLE : r % 3 == 1 ? 0 : r >> 56;
			}
			cut(t, REORDERED, k, masks);
		}
	}
	free(masks);
}

/* Updates, and what they cost ------------------------------------------------------------------ */

/* Change n different blocks, chosen by `random`. */
static void choose(struct trial *t, uint64_t random, size_t n)
{
	bool *taken = allocate(t->plan->blocks, sizeof *taken);

	for (struct change *change = t->changes; change < t->changes + n; change++) {
		change->index = mix(++random) % t->plan->blocks;
		while (taken[change->index])
			change->index = (change->index + 1) % t->plan->blocks;
		taken[change->index] = true;
		for (size_t at = 0; at < BLOCK; at += sizeof random) {
			uint64_t word = mix(++random);
			memcpy(change->data + at, &word, sizeof word);
		}
		memcpy(t->new + BLOCK * change->index, change->data, BLOCK);
	}
	free(taken);
}

/* One update: done, checked, undone, tried with cuts, and done for good. */
static void update(struct trial *t, size_t u)
{
	struct device *device = t->device;

	choose(t, mix(u + 1), t->plan->changes);
	uint64_t begin = now_ns();
	t->design->update(device, t->plan->blocks, t->changes, t->plan->changes);
	t->outcome->ns[u] = now_ns() - begin;
	if (look(t) != NEW)
		die("%s: the update is not there", t->design->name);
	look_back(t, NEW, false);
	if (device->log[device->length - 1].fsyncs == device->fsyncs)
		die("%s: the update is not synced when it returns", t->design->name);
	t->outcome->written += t->length = device->length;
	t->outcome->fsyncs += device->fsyncs;

	undo(device);
	t->script = device->log; /* undo() leaves in memory what it took back */
	device->log = NULL;
	device->size = 0;
	device->playing = true;
	cut_everywhere(t, mix(u));
	for (size_t i = 0; i < t->length; i++)
		device_write(device, t->script[i].block, t->script[i].after);
	device->playing = false;
	device_sync(device); /* so that the next update does not wait for this one */
	device->length = device->fsyncs = 0;
	memcpy(t->older, t->old, t->plan->blocks * BLOCK);
	memcpy(t->old, t->new, t->plan->blocks * BLOCK);
	free(t->script);
}

struct outcome try_design(const struct design *design, const struct plan *plan, int dir)
{
	struct outcome outcome = {0};
	uint64_t n = plan->blocks, size = design->device_blocks(n) * BLOCK;
	struct device device = {.fd = open_in(dir, "blocks")};
	struct trial trial = {.design = design,
			      .plan = plan,
			      .outcome = &outcome,
			      .device = &device,
			      .changes = allocate(n, sizeof *trial.changes),
			      .older = allocate(n, BLOCK),
			      .old = allocate(n, BLOCK),
			      .new = allocate(n, BLOCK),
			      .now = allocate(n, BLOCK)};
	struct progress progress = {.on = isatty(STDOUT_FILENO)};

	if (ftruncate(device.fd, (off_t)size))
		file_failed();
	design->format(&device);
	choose(&trial, 0, n);
	design->update(&device, n, trial.changes, n);
	memcpy(trial.old, trial.new, n * BLOCK);
	device.length = device.fsyncs = 0;

	for (size_t u = 0; u < plan->updates; u++) {
		progress_show(&progress, "updates", u, plan->updates);
		update(&trial, u);
	}
	progress_clear(&progress);
	if (design->sharing)
		outcome.sharing = design->sharing(&device, n);
	free(trial.changes);
	free(trial.older);
	free(trial.old);
	free(trial.new);
	free(trial.now);
	free(device.log);
	close(device.fd);
	return outcome;
}
