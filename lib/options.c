/* SPDX-License-Identifier: BSD-2-Clause */
/* options.c - see options.h. */
#include "config.h"

#include "arena.h"
#include "error.h"
#include "options.h"

#include <errno.h>
#include <string.h>

#define CAPACITY_MAX ((size_t)1 << 44) /* 16 TiB: units and pages have numbers of 32 bits */

int options_copy(void *out, size_t size, const void *in, const char *start)
{
	size_t sz;

	if (!in)
		return 0;
	memcpy(&sz, in, sizeof sz);
	if (sz < sizeof sz)
		return error_set(EINVAL, "options.sz is not set: start from %s", start);
	/* A caller with a newer header may have more fields; that is fine as long as they are 0. */
	for (size_t i = size; i < sz; i++)
		if (((const char *)in)[i])
			return error_set(
			    EINVAL, "the options use a field that this version (%s) does not have",
			    cowarena_version());
	memcpy(out, in, sz < size ? sz : size);
	memcpy(out, &size, sizeof size);
	return 0;
}

int options_check_flags(unsigned flags, unsigned known)
{
	return flags & ~known ? error_set(EINVAL, "options.flags has unknown bits (%#x)", flags)
			      : 0;
}

int options_read(struct cowarena_options *out, const struct cowarena_options *in)
{
	*out = (struct cowarena_options)COWARENA_OPTIONS_INIT;
	if (options_copy(out, sizeof *out, in, "COWARENA_OPTIONS_INIT"))
		return -1;

	const unsigned known = COWARENA_STRICT_ENGINE | COWARENA_FAITHFUL | COWARENA_SYSCALL_SAFE |
			       COWARENA_NO_HELPER | COWARENA_FORK_COPY | COWARENA_VERIFY;

	if (out->engine > COWARENA_ENGINE_KERNEL)
		return error_set(EINVAL, "options.engine is %u: use a COWARENA_ENGINE_ name",
				 out->engine);
	if (options_check_flags(out->flags, known))
		return -1;
	if (out->flags & COWARENA_SYSCALL_SAFE && out->engine != COWARENA_ENGINE_AUTO &&
	    out->engine != COWARENA_ENGINE_UFFD && out->engine != COWARENA_ENGINE_KERNEL)
		return error_set(EINVAL, "COWARENA_SYSCALL_SAFE takes COWARENA_ENGINE_AUTO, _UFFD "
					 "or _KERNEL");
	if (out->limit_policy > COWARENA_LIMIT_DROP_OLDEST)
		return error_set(EINVAL, "options.limit_policy is %u: use a COWARENA_LIMIT_ name",
				 out->limit_policy);
	if (out->capacity > CAPACITY_MAX)
		return error_set(EINVAL, "options.capacity is %zu: the most is %zu", out->capacity,
				 CAPACITY_MAX);
	if (out->held_limit && out->held_limit < os_page_size())
		return error_set(EINVAL, "options.held_limit is %zu: less than a page (%zu)",
				 out->held_limit, os_page_size());
	if ((uintptr_t)out->base % chunks_size())
		return error_set(EINVAL, "options.base is %p: it must be a multiple of %zu MiB",
				 out->base, chunks_size() >> 20);
	return 0;
}
