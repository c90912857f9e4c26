/* SPDX-License-Identifier: BSD-2-Clause */
/* options.c - see options.h. */
#include "config.h"

#include "arena.h"
#include "error.h"
#include "options.h"

#include <errno.h>
#include <string.h>

#define CAPACITY_MAX ((size_t)1 << 44) /* 16 TiB: units and pages have numbers of 32 bits */

int options_read(struct cowarena_options *out, const struct cowarena_options *in)
{
	memset(out, 0, sizeof *out);
	out->sz = sizeof *out;
	if (!in)
		return 0;
	if (in->sz < sizeof in->sz)
		return error_set(EINVAL, "options.sz is not set: start from COWARENA_OPTIONS_INIT");
	/* A caller with a newer header may have more fields; that is fine as long as they are 0. */
	for (size_t i = sizeof *out; i < in->sz; i++)
		if (((const char *)in)[i])
			return error_set(
			    EINVAL, "the options use a field that this version (%s) does not have",
			    cowarena_version());
	memcpy(out, in, in->sz < sizeof *out ? in->sz : sizeof *out);
	out->sz = sizeof *out;

	const unsigned known = COWARENA_STRICT_ENGINE | COWARENA_FAITHFUL | COWARENA_SYSCALL_SAFE |
			       COWARENA_NO_HELPER | COWARENA_FORK_COPY | COWARENA_VERIFY;

	if (out->engine > COWARENA_ENGINE_KERNEL)
		return error_set(EINVAL, "options.engine is %u: use a COWARENA_ENGINE_ name",
				 out->engine);
	if (out->flags & ~known)
		return error_set(EINVAL, "options.flags has unknown bits (%#x)", out->flags);
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
