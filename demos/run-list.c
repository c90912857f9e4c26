/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * run-list.c - a list that stores equal neighbours once, with a count, until one is written.
 *
 * A node is a run of lines with one text. A write to a line inside a run splits the run into up to
 * three nodes, which the count had saved. A line written like its neighbour joins its run. The list
 * lies in an arena: a rollback undoes all edits, at the cost of the pages copied.
 */
#include "config.h"

#include "common.h"
#include "arguments.h"
#include "picture.h"
#include "report.h"

/* The list ------------------------------------------------------------------------------------- */

struct node {
	struct node *next, *prev;
	char *text;
	size_t count; /* of lines */
};

/* A ring of nodes. No two neighbours have the same text, and `ends`, which closes it, has none. */
struct list {
	struct node ends;
	size_t lines, nodes;
};

static cowarena *arena;
static size_t splits, joins; /* outside the arena, so that a rollback keeps the counts */

static void *must(void *block)
{
	if (!block)
		die("%s", cowarena_errmsg());
	return block;
}

static struct node *node_create(struct list *list, struct node *next, const char *text, size_t n)
{
	struct node *node = must(cowarena_alloc(arena, sizeof *node));

	*node = (struct node){next, next->prev, must(cowarena_strdup(arena, text)), n};
	next->prev = next->prev->next = node;
	list->nodes++;
	return node;
}

static void node_free(struct list *list, struct node *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	list->nodes--;
	cowarena_free(arena, node->text);
	cowarena_free(arena, node);
}

static bool holds(const struct node *node, const char *text)
{
	return node->text && strcmp(node->text, text) == 0;
}

/* Walk to the node of a line: O(nodes). *line becomes the number of its lines that come before. */
static struct node *find(struct list *list, size_t *line)
{
	struct node *node = list->ends.next;

	if (*line == list->lines) { /* where lines are appended */
		*line = 0;
		return &list->ends;
	}
	for (; *line >= node->count; node = node->next)
		*line -= node->count;
	return node;
}

/* Create what a count has saved: the run becomes two, the first with this many lines. */
static struct node *split(struct list *list, struct node *node, size_t first)
{
	if (first > 0) {
		node_create(list, node, node->text, first);
		node->count -= first;
		splits++;
	}
	return node;
}

/* The way back: a node takes over the lines of the previous node if their texts are equal. */
static void join(struct list *list, struct node *node)
{
	if (!node->text || !holds(node->prev, node->text))
		return;
	node->count += node->prev->count;
	node_free(list, node->prev);
	joins++;
}

static const char *list_get(struct list *list, size_t line)
{
	return find(list, &line)->text;
}

static void list_set(struct list *list, size_t line, const char *text)
{
	struct node *node = find(list, &line);

	if (holds(node, text))
		return;
	split(list, node, line);
	if (node->count > 1)
		node = split(list, node, 1)->prev;
	cowarena_free(arena, node->text);
	node->text = must(cowarena_strdup(arena, text));
	join(list, node);
	join(list, node->next);
}

/* Before a line, or after the last. */
static void list_insert(struct list *list, size_t line, const char *text)
{
	struct node *node = find(list, &line);

	list->lines++;
	if (holds(node, text))
		node->count++;
	else if (line == 0 && holds(node->prev, text))
		node->prev->count++;
	else
		node_create(list, split(list, node, line), text, 1);
}

static void list_delete(struct list *list, size_t line)
{
	struct node *node = find(list, &line), *next = node->next;

	list->lines--;
	if (--node->count > 0)
		return;
	node_free(list, node);
	join(list, next);
}

/* A text, and what the list ought to hold ------------------------------------------------------ */

static uint64_t most = 20000, operations = 20000;
static char (*text)[256], **plain; /* the lines as they came, and after edits */
static size_t text_lines, lines;

static bool read_lines(const char *path)
{
	errno = 0;
	FILE *f = fopen(path, "r");
	for (; f && text_lines < most && fgets(text[text_lines], sizeof *text, f); text_lines++)
		text[text_lines][strcspn(text[text_lines], "\n")] = 0;
	return f && !fclose(f);
}

/* A log without times: three times out of four the last error is repeated. */
static void make_log(void)
{
	for (uint64_t event = 1; text_lines < most; text_lines++) {
		event += mix(text_lines + 1) % 4 == 0;
		snprintf(text[text_lines], sizeof *text, "sshd: 192.0.2.%u closed the connection",
			 (unsigned)(mix(event) % 250));
	}
}

/* Compare everything. Returns the bytes that the blocks would take with a node for each line. */
static uint64_t verify(const struct list *list)
{
	size_t i = 0, nodes = 0, each = 0, bytes = cowarena_usable_size(arena, list);

	for (struct node *node = list->ends.next; node->text; node = node->next, nodes++) {
		if (holds(node->prev, node->text) || node->next->prev != node || !node->count)
			die("node %zu is not as it should be", nodes);
		size_t size =
		    cowarena_usable_size(arena, node) + cowarena_usable_size(arena, node->text);
		bytes += size;
		each += node->count * size;
		for (size_t k = 0; k < node->count; k++, i++)
			if (i >= lines || strcmp(node->text, plain[i]) != 0)
				die("line %zu is wrong: '%s'", i, node->text);
	}
	if (i != lines || list->lines != lines || list->nodes != nodes)
		die("%zu lines, of %zu, in %zu nodes: not what was counted", i, lines, nodes);
	if (bytes != stats_of(arena).live_bytes)
		die("the heap has blocks that are not in the list");
	return each;
}

static void print_row(const char *what, const struct list *list, uint64_t pages)
{
	printf("%-36s %7s %7s %7s %7s %10s %12s %6" PRIu64 "\n", what, human_count(lines).text,
	       human_count(splits).text, human_count(joins).text, human_count(list->nodes).text,
	       human_bytes(stats_of(arena).live_bytes).text, human_bytes(verify(list)).text, pages);
}

/* Make a list of the text, in an arena of its own. */
static struct list *load(const char *name)
{
	arena = create_arena(demo_choice.engine, 0);
	struct list *list = must(cowarena_calloc(arena, 1, sizeof *list));

	list->ends.next = list->ends.prev = &list->ends;
	for (lines = 0; lines < text_lines; lines++)
		list_insert(list, lines, plain[lines] = text[lines]);
	print_row(name, list, 0);
	return list;
}

/* Edits, and undo ------------------------------------------------------------------------------ */

/* 0 inserts, 1 appends, 2 and 3 delete, the rest set; and then get. */
static void operate(struct list *list, size_t line, unsigned what, uint64_t r)
{
	char *new = r % 4 == 0 ? plain[line ? line - 1 : 0] : text[r / 4 % text_lines];
	size_t at = what ? lines : line;

	if (what <= 1) {
		list_insert(list, at, new);
		memmove(&plain[at + 1], &plain[at], (lines++ - at) * sizeof *plain);
		plain[at] = new;
	} else if (what <= 3 && lines > 1) {
		list_delete(list, line);
		memmove(&plain[line], &plain[line + 1], (--lines - line) * sizeof *plain);
	} else {
		list_set(list, line, plain[line] = new);
	}
	if (line < lines && strcmp(list_get(list, line), plain[line]) != 0)
		die("line %zu is '%s' instead of '%s'", line, list_get(list, line), plain[line]);
}

/* Write a share of the lines, in thousandths; with 0, do random operations. Then roll back. */
static void edit(struct picture *picture, struct list *list, unsigned share, const char *label)
{
	cowarena_snapshot *snapshot = must(picture_take(picture, arena, 0, label));
	struct cowarena_stats before = stats_of(arena);

	splits = joins = 0;
	for (uint64_t i = 0; i < (share ? text_lines : operations); i++) {
		uint64_t r = mix(i + 1);
		if (!share || r % 1000 < share)
			operate(list, share ? i : (r >> 8) % lines, share ? 4 : r % 8, r >> 40);
	}
	struct cowarena_stats now = stats_of(arena);
	print_row(label, list, now.copied + now.copied_ahead - before.copied - before.copied_ahead);
	picture_map(picture, label);
	if (cowarena_rollback(arena, snapshot))
		die("no rollback: %s", cowarena_errmsg());
	picture_release(picture, snapshot, "");
	for (lines = 0; lines < text_lines; lines++)
		plain[lines] = text[lines];
	verify(list);
}

int main(int argc, char **argv)
{
	const char *found[] = {"/usr/share/common-licenses/GPL-3", "/var/log/dpkg.log"};
	const struct option_row rows[] = {
	    {"lines", 'n', "N", "lines to read, or to make", &most, 1, 1000000, 2000, NULL, NULL},
	    {"ops", 'o', "N", "random operations", &operations, 1, 1000000, 2000, NULL, NULL},
	    {0},
	};
	const struct demo demo = {"Equal neighbours are one node.", "[FILE...]", rows, true};
	char shared[96], copied[48];
	int first = demo_arguments(&demo, argc, argv);

	text = allocate(most, sizeof *text);
	plain = allocate(most + operations, sizeof *plain);
	printf("%-36s %7s %7s %7s %7s %10s %12s %6s\n", "text, or share written", "lines", "splits",
	       "joins", "nodes", "bytes", "node a line", "pages");
	for (size_t i = 0; i < 2; i++, text_lines = 0)
		if (read_lines(found[i]) && load(found[i]))
			cowarena_destroy(arena);
	if (first == argc)
		make_log();
	for (int i = first; i < argc; i++)
		if (!read_lines(argv[i]) || !text_lines)
			die("%s: %s", argv[i], errno ? strerror(errno) : "no lines");
	struct list *list = load(first < argc ? "your text" : "a made-up log");
	struct picture *picture = picture_begin(arena);
	edit(picture, list, 1, "0.1 %");
	edit(picture, list, 10, "1 %");
	edit(picture, list, 100, "10 %");
	edit(picture, list, 500, "50 %");
	edit(picture, list, 0, "all operations");
	picture_end(picture);
	struct cowarena_stats end = stats_of(arena);
	snprintf(shared, sizeof shared, "%s lines by %s nodes", human_count(lines).text,
		 human_count(list->nodes).text);
	snprintf(copied, sizeof copied, "%" PRIu64 " pages, all undone",
		 end.copied + end.copied_ahead);
	cowarena_destroy(arena);
	free(text);
	free(plain);
	report(shared, copied, end.faults, "each line equals a plain array's");
	return EXIT_SUCCESS;
}
