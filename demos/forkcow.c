/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * forkcow.c - the kernel's copy-on-write beside ours.
 *
 * The same trace of writes is run twice: on memory that fork() shares with a child, and on a
 * faithful arena of which snapshots are taken. Each side is asked, by its own means, what that
 * cost; the answers must be equal, time apart.
 */
#include "config.h"

#include "common.h"

#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define DEPTH_MAX 2
#define STEPS_MAX (2 * DEPTH_MAX)
#define ROWS_MAX 16 /* of the picture */
#define STRIDE 7    /* from one strided write to the next, in pages */

/* The trace, and the story: take A, write, take B, write, release A, write, release B, write. */
struct plan {
	size_t pages, page_size, depth, steps, writes;
	size_t *trace; /* offsets of the words to write, the same for both sides */
};

/* What happened to a page. */
enum fate { SHARED, COPIED, REUSED, COPIED_AND_REUSED, FATES };

struct account {
	uint64_t faults, copied, reused;
};

struct side {
	const struct plan *plan;
	const struct side_ops *ops;
	char *base;
	uint64_t pause_ns[DEPTH_MAX], held[STEPS_MAX], write_ns;
	uint64_t hash[DEPTH_MAX + 1]; /* of the snapshots, and of the memory at the end */
	struct account counted;       /* what the counters say */
	struct account seen;          /* what a look at the pages says */
	unsigned char *fate;          /* bits COPIED and REUSED, for each page */
};

/* The two sides: fork() and the arena. */
struct side_ops {
	/* Take snapshot i and return the pause in ns. */
	uint64_t (*take)(struct side *, size_t i);
	/* Hash what snapshot i holds and release it. */
	uint64_t (*release)(struct side *, size_t i);
	/* For each page: whether the youngest snapshot has its own copy. Not asked without one. */
	void (*separate)(struct side *, unsigned char *pages);
	/* Memory that is there for the snapshots' sake, in bytes. */
	uint64_t (*held)(struct side *);
	/* Called close around the writes; `before` may be NULL. */
	void (*before)(struct side *);
	struct account (*after)(struct side *);
};

static uint64_t hash_bytes(uint64_t hash, const void *data, size_t n)
{
	const uint64_t *words = data;

	for (size_t i = 0; i < n / sizeof *words; i++)
		hash = mix(hash + words[i] + 0x9e3779b97f4a7c15);
	return hash;
}

/* Values of the trace have a clear top bit, so that a write always changes something. */
static void fill(const struct plan *plan, char *base)
{
	uint64_t *words = (uint64_t *)base;

	for (size_t i = 0; i < plan->pages * plan->page_size / sizeof *words; i++)
		words[i] = mix(i) | (uint64_t)1 << 63;
}

/* Nothing else: the faults of this loop are what is counted. */
__attribute__((noinline)) static void run_trace(char *base, const size_t *trace, size_t from,
						size_t to)
{
	for (size_t i = from; i < to; i++)
		*(volatile uint64_t *)(base + trace[i]) = i + 1;
}

/* The kernel's side ---------------------------------------------------------------------------- */

static struct child {
	pid_t pid;
	int socket; /* a byte each way: ready, and go; then the hash comes back */
} children[DEPTH_MAX];

static struct rusage usage[2];
static size_t shared_before;

/* The sum of the fields of that name of the region's mapping in a process, in bytes. */
static size_t smaps(pid_t pid, const struct side *side, const char *field)
{
	char path[32], line[256], start[32];
	bool ours = false;
	size_t kb, sum = 0;

	snprintf(path, sizeof path, "/proc/%d/smaps", (int)pid);
	snprintf(start, sizeof start, "%" PRIxPTR "-", (uintptr_t)side->base);
	FILE *f = fopen(path, "r");
	if (!f)
		die("%s: %s", path, strerror(errno));
	while (fgets(line, sizeof line, f)) {
		if (strncmp(line, start, strlen(start)) == 0)
			ours = true;
		else if (ours && strncmp(line, "VmFlags", 7) == 0)
			break;
		else if (ours && strncmp(line, field, strlen(field)) == 0 &&
			 sscanf(line, "%*[^:]: %zu", &kb) == 1)
			sum += kb * 1024;
	}
	fclose(f);
	if (!ours)
		die("%s: the region is not there", path);
	return sum;
}

__attribute__((noreturn)) static void child_main(const struct side *side, int socket)
{
	size_t size = side->plan->pages * side->plan->page_size;
	char go;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (write(socket, "", 1) != 1 || read(socket, &go, 1) != 1)
		_exit(1);
	uint64_t hash = hash_bytes(0, side->base, size);
	_exit(write(socket, &hash, sizeof hash) != sizeof hash);
}

static uint64_t fork_take(struct side *side, size_t i)
{
	int sockets[2];
	char ready;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sockets))
		die("socketpair: %s", strerror(errno));
	uint64_t start = now_ns();
	pid_t pid = fork();
	uint64_t end = now_ns();
	if (pid == 0)
		child_main(side, sockets[1]);
	children[i] = (struct child){pid, sockets[0]};
	if (pid < 0 || read(sockets[0], &ready, 1) != 1)
		die("fork: %s", strerror(errno));
	close(sockets[1]);
	return end - start;
}

static uint64_t fork_release(struct side *side, size_t i)
{
	struct child *child = &children[i];
	uint64_t hash;
	int status;

	(void)side;
	if (write(child->socket, "", 1) != 1 ||
	    read(child->socket, &hash, sizeof hash) != sizeof hash ||
	    waitpid(child->pid, &status, 0) != child->pid || status != 0)
		die("a child has failed");
	close(child->socket);
	child->pid = 0;
	return hash;
}

/* Bit 56 of a page's word in pagemap says that it is mapped only once. */
static void fork_separate(struct side *side, unsigned char *pages)
{
	size_t n = side->plan->pages, size = n * sizeof(uint64_t);
	off_t at = (off_t)((uintptr_t)side->base / side->plan->page_size * sizeof(uint64_t));
	uint64_t *map = allocate(size, 1);
	int fd = open("/proc/self/pagemap", O_RDONLY);

	if (fd < 0 || pread(fd, map, size, at) != (ssize_t)size)
		die("/proc/self/pagemap: %s", strerror(errno));
	close(fd);
	for (size_t i = 0; i < n; i++)
		pages[i] = map[i] >> 56 & 1;
	free(map);
}

/* Whatever the three processes use together beyond one copy. The kernel rounds each down to kB. */
static uint64_t fork_held(struct side *side)
{
	size_t page = side->plan->page_size, sum = smaps(getpid(), side, "Pss:");

	for (size_t i = 0; i < DEPTH_MAX; i++)
		if (children[i].pid)
			sum += smaps(children[i].pid, side, "Pss:");
	return ((sum + page - 1) / page - side->plan->pages) * page;
}

/* Our own stack and data are shared with the children as well: touch now what the count touches. */
static void fork_before(struct side *side)
{
	shared_before = smaps(getpid(), side, "Shared_");
	run_trace(side->base, side->plan->trace, 0, 0);
	getrusage(RUSAGE_SELF, &usage[1]);
	getrusage(RUSAGE_SELF, &usage[0]);
	getrusage(RUSAGE_SELF, &usage[0]);
}

static struct account fork_after(struct side *side)
{
	getrusage(RUSAGE_SELF, &usage[1]);
	struct account a = {.faults = (uint64_t)(usage[1].ru_minflt - usage[0].ru_minflt)};
	size_t shared = smaps(getpid(), side, "Shared_");
	a.copied = (shared_before - shared) / side->plan->page_size;
	/* Wrong only if the kernel copied more than it had to; the picture would tell. */
	a.reused = a.faults - a.copied;
	return a;
}

static const struct side_ops fork_ops = {
    .take = fork_take,
    .release = fork_release,
    .separate = fork_separate,
    .held = fork_held,
    .before = fork_before,
    .after = fork_after,
};

/* Our side ------------------------------------------------------------------------------------- */

static cowarena *arena;
static cowarena_snapshot *snapshots[DEPTH_MAX];
static struct cowarena_stats stats_before;

static uint64_t arena_take(struct side *side, size_t i)
{
	snapshots[i] = cowarena_snapshot_take(arena, 0);
	if (!snapshots[i])
		die("no snapshot: %s", cowarena_errmsg());
	(void)side;
	return stats_of(arena).pause_ns_last;
}

static uint64_t arena_release(struct side *side, size_t i)
{
	size_t size = side->plan->page_size;
	uint64_t hash = 0;
	char *page = allocate(1, size);

	for (size_t at = 0; at < side->plan->pages * size; at += size) {
		if (cowarena_snapshot_read(snapshots[i], page, side->base + at, size))
			die("snapshot: %s", cowarena_errmsg());
		hash = hash_bytes(hash, page, size);
	}
	free(page);
	cowarena_snapshot_release(snapshots[i]);
	snapshots[i] = NULL;
	return hash;
}

static unsigned char *marks;

static int mark(void *ctx, const void *start, size_t len)
{
	const struct side *side = ctx;
	size_t size = side->plan->page_size;

	/* The heap's own bookkeeping may have changed as well; it is not in the picture. */
	for (const char *at = start; at < (const char *)start + len; at += size)
		if (at >= side->base && (size_t)(at - side->base) / size < side->plan->pages)
			marks[(size_t)(at - side->base) / size] = 1;
	return 0;
}

static void arena_separate(struct side *side, unsigned char *pages)
{
	bool eager = strcmp(cowarena_engine_name(arena), "eager") == 0;

	marks = memset(pages, eager, side->plan->pages);
	if (!eager && cowarena_diff(snapshots[snapshots[1] ? 1 : 0], NULL, mark, side))
		die("diff: %s", cowarena_errmsg());
}

static uint64_t arena_held(struct side *side)
{
	(void)side;
	return stats_of(arena).held_bytes;
}

/* Since the last time, so that the copies of engine eager, made when a snapshot is taken, count. */
static struct account arena_after(struct side *side)
{
	struct cowarena_stats s = stats_of(arena);

	(void)side;
	struct account a = {.faults = s.faults - stats_before.faults,
			    .copied = s.copied - stats_before.copied,
			    .reused = s.reused - stats_before.reused};
	stats_before = s;
	return a;
}

static const struct side_ops arena_ops = {
    .take = arena_take,
    .release = arena_release,
    .separate = arena_separate,
    .held = arena_held,
    .after = arena_after,
};

/* The story ------------------------------------------------------------------------------------ */

/*
 * Two witnesses each: the counters, and a look at the pages after each step. A page that became
 * separate was copied. A page that was not yet separate when the last snapshot went, and is then
 * written, is reused.
 */
static void play(struct side *side)
{
	const struct plan *plan = side->plan;
	unsigned char *was = allocate(plan->pages, 1), *is = allocate(plan->pages, 1);

	side->fate = allocate(plan->pages, 1);
	for (size_t step = 0; step < plan->steps; step++) {
		bool last = step == plan->steps - 1;
		size_t from = plan->writes * step / plan->steps;
		size_t to = plan->writes * (step + 1) / plan->steps;
		size_t released = step - plan->depth;

		memcpy(was, is, plan->pages);
		if (step < plan->depth) {
			side->pause_ns[step] = side->ops->take(side, step);
			memset(was, 0, plan->pages); /* all is shared again */
		} else {
			side->hash[released] = side->ops->release(side, released);
		}

		if (side->ops->before)
			side->ops->before(side);
		uint64_t start = now_ns();
		run_trace(side->base, plan->trace, from, to);
		uint64_t end = now_ns();
		struct account a = side->ops->after(side);

		side->write_ns += end - start;
		side->counted.faults += a.faults;
		side->counted.copied += a.copied;
		side->counted.reused += a.reused;
		side->held[step] = side->ops->held(side);
		if (!last)
			side->ops->separate(side, is);
		for (size_t i = 0; i < plan->pages; i++) {
			if (is[i] && !was[i]) {
				side->seen.copied++;
				side->fate[i] |= COPIED;
			}
		}
		for (size_t i = from; i < to && last; i++) {
			size_t page = plan->trace[i] / plan->page_size;
			if (!is[page]) {
				side->seen.reused++;
				side->fate[page] |= REUSED;
				is[page] = 1;
			}
		}
	}
	side->hash[plan->depth] = hash_bytes(0, side->base, plan->pages * plan->page_size);
	free(was);
	free(is);
}

/* The table ------------------------------------------------------------------------------------ */

static bool differs;

static void row(const char *what, uint64_t kernel, uint64_t ours, struct human (*human)(uint64_t),
		bool must_equal)
{
	bool bad = must_equal && kernel != ours;

	printf("  %-28s %16s %16s%s\n", what, human(kernel).text, human(ours).text,
	       bad ? "  <- differs" : "");
	differs |= bad;
}

static void print_table(const struct side *k, const struct side *o, bool counts)
{
	static const char *const held[][STEPS_MAX] = {
	    {"bytes held, A alive", "bytes held, A gone"},
	    {NULL, "bytes held, A and B alive", "bytes held, only B alive",
	     "bytes held, both gone"},
	};
	const struct plan *plan = k->plan;

	printf("  %-28s %16s %16s\n", "", "fork()", "cowarena");
	row("pause, first snapshot (A)", k->pause_ns[0], o->pause_ns[0], human_time, false);
	if (plan->depth > 1)
		row("pause, second snapshot (B)", k->pause_ns[1], o->pause_ns[1], human_time,
		    false);
	row("faults", k->counted.faults, o->counted.faults, human_count, counts);
	row("pages copied", k->counted.copied, o->counted.copied, human_count, counts);
	row("pages reused", k->counted.reused, o->counted.reused, human_count, counts);
	for (size_t i = 0; i < plan->steps; i++)
		if (held[plan->depth - 1][i])
			row(held[plan->depth - 1][i], k->held[i], o->held[i], human_bytes, counts);
	row("time per write", k->write_ns / plan->writes, o->write_ns / plan->writes, human_time,
	    false);
	row("contents of A (hash)", k->hash[0], o->hash[0], human_hex, true);
	if (plan->depth > 1)
		row("contents of B (hash)", k->hash[1], o->hash[1], human_hex, true);
	row("contents at the end (hash)", k->hash[plan->depth], o->hash[plan->depth], human_hex,
	    true);
}

static bool witnesses_agree(const struct side *side)
{
	return side->counted.copied == side->seen.copied &&
	       side->counted.reused == side->seen.reused;
}

/* The picture ---------------------------------------------------------------------------------- */

static const struct {
	char letter, colour[3];
	const char *meaning;
} looks[FATES] = {
    [SHARED] = {'.', "2", "shared: not written, one copy serves all"},
    [COPIED] = {'C', "31", "copied: a snapshot needed what was there"},
    [REUSED] = {'r', "32", "reused: first written when the snapshots were gone, no copy"},
    [COPIED_AND_REUSED] = {'R', "33", "copied for A, and reused when B was gone too"},
};

static void print_cell(enum fate fate)
{
	bool colours = isatty(STDOUT_FILENO) && !getenv("NO_COLOR");

	printf(colours ? "\033[%sm%c\033[0m" : "%.0s%c", looks[fate].colour, looks[fate].letter);
}

/* What most pages of a cell have gone through; of equals the later in the list. */
static enum fate fate_of_cell(const struct side *side, size_t first, size_t n)
{
	size_t count[FATES] = {0};
	enum fate most = SHARED;

	for (size_t i = first; i < first + n && i < side->plan->pages; i++)
		count[side->fate[i]]++;
	for (enum fate f = SHARED; f < FATES; f++)
		if (count[f] >= count[most])
			most = f;
	return most;
}

static void print_picture(const struct side *k, const struct side *o)
{
	size_t pages = k->plan->pages, columns = terminal_width() >= 136 ? 64 : 32;
	size_t per_cell = (pages + columns * ROWS_MAX - 1) / (columns * ROWS_MAX);
	size_t width = columns * per_cell;

	printf("\n  %-*s    %s\n", (int)columns, "under fork()", "in the arena");
	for (size_t row = 0; row < pages; row += width) {
		for (size_t column = 0; column < 2 * columns; column++) {
			size_t page = row + column % columns * per_cell;
			printf("%*s", column == columns ? 4 : column ? 0 : 2, "");
			if (page < pages)
				print_cell(fate_of_cell(column < columns ? k : o, page, per_cell));
			else if (column < columns)
				putchar(' ');
		}
		putchar('\n');
	}
	printf("\n  Pages run from left to right, then down.");
	if (per_cell > 1)
		printf(" One letter is %zu pages: what most of them did.", per_cell);
	putchar('\n');
	for (enum fate f = SHARED; f < (k->plan->depth > 1 ? FATES : COPIED_AND_REUSED); f++) {
		printf("  ");
		print_cell(f);
		printf("  %s\n", looks[f].meaning);
	}
}

/* Start ---------------------------------------------------------------------------------------- */

enum pattern { SEQUENTIAL, RANDOM, STRIDED, ZIPF, PATTERNS };

static const char *const pattern_names[PATTERNS] = {"sequential", "random", "strided", "zipf"};

static enum pattern parse_pattern(const char *arg)
{
	for (enum pattern p = 0; p < PATTERNS; p++)
		if (strcmp(arg, pattern_names[p]) == 0)
			return p;
	usage_error("unknown pattern '%s': sequential, random, strided or zipf", arg);
}

static void make_trace(struct plan *plan, enum pattern pattern)
{
	size_t n = plan->pages, words = plan->page_size / sizeof(uint64_t);
	size_t round = (n + STRIDE - 1) / STRIDE;
	double *up_to = allocate(n, sizeof *up_to), sum = 0; /* zipf: page k weighs 1 / (k + 1) */

	plan->trace = allocate(plan->writes, sizeof *plan->trace);
	for (size_t i = 0; i < n; i++)
		up_to[i] = sum += 1.0 / (double)(i + 1);
	for (size_t i = 0; i < plan->writes; i++) {
		uint64_t r = mix(2 * i + 1);
		size_t page = r % n;
		if (pattern == SEQUENTIAL)
			page = i % n;
		else if (pattern == STRIDED) /* one further in each round */
			page = (i % round * STRIDE + i / round) % n;
		else if (pattern == ZIPF) {
			double x = (double)(r >> 11) / (double)((uint64_t)1 << 53) * sum;
			size_t high = n - 1;
			for (page = 0; page < high;) {
				size_t middle = (page + high) / 2;
				if (up_to[middle] < x)
					page = middle + 1;
				else
					high = middle;
			}
		}
		plan->trace[i] = (page * words + mix(r + 1) % words) * sizeof(uint64_t);
	}
	free(up_to);
}

/* Memory of the kernel's kind, in a mapping of its own: it has a gap at each end. */
static char *map_region(const struct plan *plan)
{
	size_t gap = plan->page_size, size = plan->pages * plan->page_size;
	char *base = mmap(NULL, size + 2 * gap, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (base == MAP_FAILED || mprotect(base + gap, size, PROT_READ | PROT_WRITE))
		die("no memory for %zu pages: %s", plan->pages, strerror(errno));
	/* With huge pages one fault would copy 2 MiB. (A kernel without them refuses the advice.) */
	madvise(base + gap, size, MADV_NOHUGEPAGE);
	return base + gap;
}

static void print_help(void)
{
	printf(
	    "Usage: %s [OPTION...]\n\n"
	    "Shows that an arena can do what fork() does, fault for fault. One trace of writes\n"
	    "runs twice: on memory shared with forked children, and on an arena in faithful\n"
	    "mode of which snapshots are taken. Then a table tells what it cost on either side\n"
	    "(the kernel's numbers come from getrusage, smaps and pagemap), and a picture what\n"
	    "became of each page: shared, copied, or reused.\n\n"
	    "There are four steps, and a quarter of the trace runs after each: take snapshot A,\n"
	    "take snapshot B of the later state, release A, release B. (For fork, a child is\n"
	    "born or ends.) What the snapshots hold is compared with what the children see. The\n"
	    "exit status is 1 if any bytes or counts differ.\n\n"
	    "  -p, --pages N       pages of memory (default 4096)\n"
	    "  -w, --writes N      writes in the trace (default: the pages, at least 16)\n"
	    "  -a, --pattern NAME  sequential, random, strided, zipf (default random)\n"
	    "  -n, --nesting N     1: snapshot A only; 2: A and B (default 2)\n"
	    "  -e, --engine NAME   auto, sigsegv, uffd, eager (default auto)\n"
	    "  -h, --help          print this\n"
	    "  -V, --version       print the version\n",
	    demo_name());
	finish_output();
	exit(EXIT_SUCCESS);
}

int main(int argc, char **argv)
{
	static const struct option long_options[] = {
	    {"pages", required_argument, NULL, 'p'},   {"writes", required_argument, NULL, 'w'},
	    {"pattern", required_argument, NULL, 'a'}, {"nesting", required_argument, NULL, 'n'},
	    {"engine", required_argument, NULL, 'e'},  {"help", no_argument, NULL, 'h'},
	    {"version", no_argument, NULL, 'V'},       {NULL, 0, NULL, 0},
	};
	struct plan plan = {.pages = 4096, .page_size = (size_t)sysconf(_SC_PAGESIZE), .depth = 2};
	unsigned engine = COWARENA_ENGINE_AUTO;
	enum pattern pattern = RANDOM;

	for (int c; (c = getopt_long(argc, argv, "p:w:a:n:e:hV", long_options, NULL)) != -1;) {
		switch (c) {
		case 'p':
			plan.pages = parse_number("--pages", optarg, 1, 1 << 20);
			break;
		case 'w':
			plan.writes = parse_number("--writes", optarg, 1, 1 << 26);
			break;
		case 'a':
			pattern = parse_pattern(optarg);
			break;
		case 'n':
			plan.depth = parse_number("--nesting", optarg, 1, DEPTH_MAX);
			break;
		case 'e':
			engine = parse_engine(optarg);
			break;
		case 'h':
			print_help();
			break;
		case 'V':
			print_version();
			break;
		default:
			usage_hint();
		}
	}
	if (optind < argc)
		usage_error("unexpected argument '%s'", argv[optind]);
	if (!plan.writes)
		plan.writes = plan.pages < 16 ? 16 : plan.pages;
	plan.steps = 2 * plan.depth;
	make_trace(&plan, pattern);

	/* The kernel first: a fork has to copy page tables, and the arena's are not its business. */
	/* Pages of program text that the kernel takes back would count as faults of the trace. It is only
	   likely on a machine short of memory; so if the limit of locked memory forbids this, go on. */
	mlockall(MCL_CURRENT);
	struct side kernel = {.plan = &plan, .ops = &fork_ops, .base = map_region(&plan)};
	fill(&plan, kernel.base);
	play(&kernel);

	struct side ours = {.plan = &plan, .ops = &arena_ops};
	arena = create_arena(engine, COWARENA_FAITHFUL);
	ours.base = cowarena_aligned_alloc(arena, plan.page_size, plan.pages * plan.page_size);
	if (!ours.base)
		die("no block: %s", cowarena_errmsg());
	fill(&plan, ours.base);
	stats_before = stats_of(arena);
	play(&ours);

	/* Two reasons why the arena's counts are not the kernel's. The bytes must be. */
	bool eager = strcmp(cowarena_engine_name(arena), "eager") == 0;
	uint64_t ahead = stats_of(arena).copied_ahead;
	printf("%s page%s of %s (%s), %s %s writes, engine %s\n\n", human_count(plan.pages).text,
	       plan.pages == 1 ? "" : "s", human_bytes(plan.page_size).text,
	       human_bytes(plan.pages * plan.page_size).text, human_count(plan.writes).text,
	       pattern_names[pattern], cowarena_engine_name(arena));
	print_table(&kernel, &ours, !eager && !ahead);
	print_picture(&kernel, &ours);
	putchar('\n');
	if (eager)
		printf("Engine eager copies all pages at each snapshot: only the contents must be "
		       "equal.\n");
	if (ahead)
		printf("%s pages were copied along with neighbours, to save kernel mappings\n"
		       "(vm.max_map_count): only the contents must be equal.\n",
		       human_count(ahead).text);
	const char *trouble = differs ? "the two sides differ, see the table" : NULL;
	if (!witnesses_agree(&kernel))
		trouble = "the kernel's counters (getrusage, smaps) and its pagemap disagree";
	else if (!eager && !ahead && !witnesses_agree(&ours))
		trouble = "the arena's statistics and cowarena_diff() disagree";
	if (!trouble)
		printf("verified: the same contents%s\n",
		       eager || ahead ? "" : ", the same faults, copies, reuses and bytes held");
	cowarena_destroy(arena);
	free(plan.trace);
	free(kernel.fate);
	free(ours.fate);
	finish_output();
	if (trouble)
		die("%s", trouble);
	return EXIT_SUCCESS;
}
