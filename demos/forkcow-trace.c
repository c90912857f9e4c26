/* SPDX-License-Identifier: BSD-2-Clause */
/* forkcow-trace.c - which words are written, in which order, and their memory. */
#include "config.h"

#include "forkcow.h"

#include <sys/mman.h>

#define STRIDE 7 /* pages between two strided writes */

/* Not instrumented: the faults of these loops are counted, and a tool's own memory accesses would
   add some. */
#define COUNTED __attribute__((noinline, no_sanitize("address"), no_sanitize("thread")))

uint64_t hash_bytes(uint64_t hash, const void *data, size_t n)
{
	const uint64_t *words = data;

	for (size_t i = 0; i < n / sizeof *words; i++)
		hash = mix(hash + words[i] + 0x9e3779b97f4a7c15);
	return hash;
}

/* Values of the trace have a clear top bit, so that a write always changes something. */
void fill(const struct plan *plan, char *base)
{
	uint64_t *words = (uint64_t *)base;

	for (size_t i = 0; i < plan->pages * plan->page_size / sizeof *words; i++)
		words[i] = mix(i) | (uint64_t)1 << 63;
}

COUNTED void run_trace(char *base, const size_t *trace, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++)
		*(volatile uint64_t *)(base + trace[i]) = i + 1;
}

COUNTED void write_pages(const struct plan *plan, char *base, enum which which, uint64_t seed)
{
	size_t words = plan->page_size / sizeof(uint64_t);

	for (size_t i = which == ODD; i < plan->pages; i += which == ALL ? 1 : 2)
		((volatile uint64_t *)(base + i * plan->page_size))[i % words] = seed + i;
}

/* Memory for the kernel's side, in a mapping of its own: it has a gap at each end. */
char *map_region(const struct plan *plan)
{
	size_t gap = plan->page_size, size = plan->pages * plan->page_size;
	char *base = mmap(NULL, size + 2 * gap, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (base == MAP_FAILED || mprotect(base + gap, size, PROT_READ | PROT_WRITE))
		die("no memory for %zu pages: %s", plan->pages, strerror(errno));
	/* With huge pages one fault would copy 2 MiB. (A kernel without them refuses the
	   advice.) */
	madvise(base + gap, size, MADV_NOHUGEPAGE);
	return base + gap;
}

void unmap_region(const struct plan *plan, char *base)
{
	munmap(base - plan->page_size, (plan->pages + 2) * plan->page_size);
}

/* ---------------------------------------------------------------------------------------------- */

/* Zipf's law, page k having weight 1 / (k + 1): the page where the sum of the weights exceeds the
   share r. */
static size_t zipf_page(const double *up_to, size_t n, uint64_t r)
{
	double x = (double)(r >> 11) / (double)((uint64_t)1 << 53) * up_to[n - 1];
	size_t page = 0;

	for (size_t high = n - 1; page < high;) {
		size_t middle = (page + high) / 2;
		if (up_to[middle] < x)
			page = middle + 1;
		else
			high = middle;
	}
	return page;
}

void make_trace(struct plan *plan, const char *pattern)
{
	static const char *const names[] = {"sequential", "random", "strided", "zipf"};
	enum { SEQUENTIAL, RANDOM, STRIDED, ZIPF, PATTERNS } p = 0;
	size_t n = plan->pages, words = plan->page_size / sizeof(uint64_t);
	size_t round = (n + STRIDE - 1) / STRIDE;
	double *up_to, sum = 0;

	while (p < PATTERNS && strcmp(pattern, names[p]))
		p++;
	if (p == PATTERNS)
		usage_error("unknown pattern '%s': sequential, random, strided or zipf", pattern);
	plan->trace = allocate(plan->writes, sizeof *plan->trace);
	up_to = allocate(n, sizeof *up_to);
	for (size_t i = 0; i < n; i++)
		up_to[i] = sum += 1.0 / (double)(i + 1);
	for (size_t i = 0; i < plan->writes; i++) {
		uint64_t r = mix(2 * i + 1);
		size_t page = r % n;
		if (p == SEQUENTIAL)
			page = i % n;
		else if (p == STRIDED) /* one further in each round */
			page = (i % round * STRIDE + i / round) % n;
		else if (p == ZIPF)
			page = zipf_page(up_to, n, r);
		plan->trace[i] = (page * words + mix(r + 1) % words) * sizeof(uint64_t);
	}
	free(up_to);
}
