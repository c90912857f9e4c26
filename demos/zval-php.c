/* SPDX-License-Identifier: BSD-2-Clause */
/* zval-php.c - see zval-php.h. */
#include "config.h"

#include "common.h"
#include "zval-model.h"
#include "zval-php.h"

static struct array *globals, *symbols; /* the script's names; those of the running function */
static struct zval *stack;              /* the argument of the running call */
static const char *line, *at;           /* the line being run, and what is left of it */
static uint64_t live_before;            /* bytes in blocks when the script began */

char php_echoed[64];

struct operand {
	char name[32], text[32];
	bool is_element;
	struct key key; /* of the element */
};

/* Reading a line ------------------------------------------------------------------------------- */

static bool accept(const char *token)
{
	at += strspn(at, " ");
	bool there = strncmp(at, token, strlen(token)) == 0;
	at += there ? strlen(token) : 0;
	return there;
}

static void expect(const char *token)
{
	if (!accept(token))
		die("PHP: no '%s' at '%s' in: %s", token, at, line);
}

static void parse_until(const char *stop, char *text, size_t size)
{
	size_t length = strcspn(at, stop);

	if (length >= size)
		die("PHP: too long: '%s'", at);
	snprintf(text, size, "%.*s", (int)length, at);
	at += length;
}

static int64_t parse_long(void)
{
	char *end;
	int64_t number = strtoll(at, &end, 10);

	if (end == at)
		die("PHP: no number at '%s' in: %s", at, line);
	at = end;
	return number;
}

static void parse_operand(struct operand *o)
{
	*o = (struct operand){0};
	expect("$");
	parse_until(" [,;)", o->name, sizeof o->name);
	o->is_element = accept("[");
	if (!o->is_element)
		return;
	if (accept("'")) {
		parse_until("'", o->text, sizeof o->text);
		o->key.name = o->text;
		expect("'");
	} else {
		o->key.number = parse_long();
	}
	expect("]");
}

static struct zval parse_literal(void)
{
	char text[64];
	bool fill = accept("array_fill(0, ");
	size_t n = fill ? (size_t)parse_long() : 0;

	if (fill)
		expect(",");
	else if (strncmp(at, "'", 1) != 0)
		return zval_long(parse_long());
	expect("'");
	parse_until("'", text, sizeof text);
	expect(fill ? "')" : "'");
	return fill ? zval_array_fill(n, text) : zval_string(text);
}

/* Running it ----------------------------------------------------------------------------------- */

/* The place of an operand, to be written. */
static struct zval **place(struct operand *o)
{
	struct zval **variable = array_place(symbols, (struct key){.name = o->name});

	return o->is_element ? zval_element(variable, o->key) : variable;
}

/* The value of an operand. */
static struct zval *value_of(struct operand *o)
{
	struct zval **found = array_find(symbols, (struct key){.name = o->name});

	if (found && o->is_element)
		found =
		    (*found)->type == ZVAL_ARRAY ? array_find((*found)->value.array, o->key) : NULL;
	if (!found)
		die("PHP: there is no $%s in: %s", o->name, line);
	return *found;
}

static void run_assignment(void)
{
	struct operand left, right;

	parse_operand(&left);
	expect("= ");
	if (accept("&")) {
		parse_operand(&right);
		place(&left); /* A new name may move the places of others: make both names first. */
		struct zval **from = place(&right);
		zval_assign_reference(place(&left), from);
	} else if (strncmp(at, "$", 1) == 0) {
		parse_operand(&right);
		struct zval *value = value_of(&right);
		value->refcount++; /* The line itself holds the value while the place is found. */
		zval_assign(place(&left), value);
		zval_release(value);
	} else {
		struct zval value = parse_literal();
		zval_assign_value(place(&left), value);
	}
	expect(";");
}

/* FE_RESET and FE_FETCH: the loop holds the array by one more pointer, and $item shares each
   element. (Later versions of PHP 5 copy an array that has several names, for the time of the loop:
   its cursor lies in it.) */
static void run_foreach(void)
{
	struct operand all, item, sum;

	parse_operand(&all);
	expect("as");
	parse_operand(&item);
	expect(")");
	parse_operand(&sum);
	expect("+= count($");
	expect(item.name);
	expect(");");
	struct zval *held = value_of(&all);
	if (held->type != ZVAL_ARRAY || value_of(&sum)->type != ZVAL_LONG)
		die("PHP: not for these types: %s", line);
	held->refcount++;
	for (size_t i = 0; i < held->value.array->used; i++) {
		zval_assign(place(&item), held->value.array->buckets[i].zval);
		struct zval **total = place(&sum);
		zval_separate(total);
		(*total)->value.number++; /* count() of anything but an array is 1. */
	}
	zval_release(held);
}

/* ZEND_SEND and ZEND_RECV: in the function, both its own name and the stack hold the argument. */
static void run_call(bool by_reference)
{
	struct operand o;

	parse_operand(&o);
	expect(");");
	stack = zval_argument(place(&o), by_reference);
	symbols = array_new(8);
	stack->refcount++;
	*array_place(symbols, (struct key){.name = "arg"}) = stack;
}

static void run_return(void)
{
	array_free(symbols);
	zval_release(stack);
	symbols = globals;
}

static void run_echo(void)
{
	struct operand o;

	parse_operand(&o);
	expect(";");
	const struct zval *z = value_of(&o);
	if (z->type == ZVAL_LONG)
		snprintf(php_echoed, sizeof php_echoed, "%" PRId64, z->value.number);
	else
		snprintf(php_echoed, sizeof php_echoed, "%s",
			 z->type == ZVAL_STRING ? z->value.string : "");
}

static void run_statement(void)
{
	struct operand o;

	if (accept("}")) {
		run_return();
	} else if (accept("f(")) {
		run_call(false);
	} else if (accept("g(")) {
		run_call(true);
	} else if (accept("foreach (")) {
		run_foreach();
	} else if (accept("echo ")) {
		run_echo();
	} else if (accept("unset(")) {
		parse_operand(&o);
		expect(");");
		array_remove(symbols, (struct key){.name = o.name});
	} else {
		run_assignment();
	}
}

void php_run(const char *format, ...)
{
	char text[128];
	va_list args;

	va_start(args, format);
	if (vsnprintf(text, sizeof text, format, args) >= (int)sizeof text)
		die("PHP: too long: %s", text);
	va_end(args);
	line = at = text;
	while (*(at += strspn(at, " ")))
		run_statement();
}

void php_begin(void)
{
	live_before = stats_of(zval_arena).live_bytes;
	symbols = globals = array_new(8);
}

void php_end(void)
{
	array_free(globals);
	if (stats_of(zval_arena).live_bytes != live_before)
		die("the variables of a script are gone, but not all of their memory");
}

/* Showing zvals -------------------------------------------------------------------------------- */

static void print_zval(FILE *to, const struct zval *zval)
{
	fprintf(to, "(refcount=%" PRIu32 ", is_ref=%d)=", zval->refcount, zval->is_ref);
	if (zval->type == ZVAL_NULL)
		fputs("NULL", to);
	if (zval->type == ZVAL_LONG)
		fprintf(to, "%" PRId64, zval->value.number);
	if (zval->type == ZVAL_STRING)
		fprintf(to, "'%s'", zval->value.string);
	if (zval->type != ZVAL_ARRAY)
		return;
	const struct array *array = zval->value.array;
	fputs("array (", to);
	for (const struct bucket *b = array->buckets; b < array->buckets + array->used; b++) {
		fputs(b == array->buckets ? "" : ", ", to);
		if (b->key.name)
			fprintf(to, "'%s' => ", b->key.name);
		else
			fprintf(to, "%" PRId64 " => ", b->key.number);
		print_zval(to, b->zval);
	}
	fputs(")", to);
}

char *php_debug_zval(const char *name)
{
	char *text = NULL;
	size_t size;
	FILE *to = open_memstream(&text, &size);

	for (size_t i = 0; to && i < symbols->used; i++) {
		const struct bucket *b = &symbols->buckets[i];
		if (!name)
			fprintf(to, "%s: ", b->key.name);
		if (!name || strcmp(name, b->key.name) == 0)
			print_zval(to, b->zval);
		if (!name)
			fputc('\n', to);
	}
	if (!to || fclose(to))
		die("out of memory");
	return text;
}
