/* SPDX-License-Identifier: BSD-2-Clause */
/* versions.c - see versions.h. */
#include "config.h"

#include "versions.h"

/* The finaliser of MurmurHash3 (Appleby, 2011): every number has a priority of its own, and
   neighbours' priorities have nothing in common. */
static uint32_t priority(uint32_t frame)
{
	frame = (frame ^ frame >> 16) * 0x85ebca6bu;
	frame = (frame ^ frame >> 13) * 0xc2b2ae35u;
	return frame ^ frame >> 16;
}

uint32_t versions_upto(const struct frames *f, uint32_t root, uint64_t epoch)
{
	uint32_t found = FRAME_NONE;

	while (root != FRAME_NONE) {
		const struct version *v = frames_version(f, root);
		if (v->first > epoch) {
			root = v->older;
		} else {
			found = root;
			root = v->newer;
		}
	}
	return found;
}

uint32_t versions_find(const struct frames *f, uint32_t root, uint64_t epoch)
{
	uint32_t frame = versions_upto(f, root, epoch);

	if (frame != FRAME_NONE && version_last(frames_version(f, frame)) < epoch)
		return FRAME_NONE;
	return frame;
}

void versions_add(struct frames *f, uint32_t *root, uint32_t frame)
{
	struct version *v = frames_version(f, frame);

	/* Being the newest, the version belongs on the right edge of the tree. A node there with a
	   lower priority is older, and goes below it. */
	while (*root != FRAME_NONE && priority(*root) > priority(frame))
		root = &frames_version(f, *root)->newer;
	v->older = *root;
	v->newer = FRAME_NONE;
	*root = frame;
}

/* Merge two trees, of which `older` has the older versions. */
static void merge(struct frames *f, uint32_t *root, uint32_t older, uint32_t newer)
{
	while (older != FRAME_NONE && newer != FRAME_NONE) {
		if (priority(older) > priority(newer)) {
			*root = older;
			root = &frames_version(f, older)->newer;
			older = *root;
		} else {
			*root = newer;
			root = &frames_version(f, newer)->older;
			newer = *root;
		}
	}
	*root = older != FRAME_NONE ? older : newer;
}

void versions_remove(struct frames *f, uint32_t *root, uint32_t frame)
{
	const struct version *v = frames_version(f, frame);

	while (*root != frame) {
		struct version *at = frames_version(f, *root);
		root = v->first < at->first ? &at->older : &at->newer;
	}
	merge(f, root, v->older, v->newer);
}
