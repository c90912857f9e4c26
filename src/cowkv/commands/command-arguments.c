/* SPDX-License-Identifier: BSD-2-Clause */
/* command-arguments.c - what many commands begin with (command.h): getting the value of a key,
   parsing numbers. */
#include "config.h"

#include "commands/command.h"

static void *of_type(struct client *c, void *value, enum value_type type, bool *wrong)
{
	struct value *v = value;

	*wrong = v && v->type != type;
	if (!*wrong)
		return v;
	reply_error(c, ERROR_WRONGTYPE);
	return NULL;
}

void *command_read(struct client *c, struct slice key, enum value_type type, bool *wrong)
{
	return of_type(c, db_read(key), type, wrong);
}

void *command_write(struct client *c, struct slice key, enum value_type type, bool *wrong)
{
	struct entry *e = db_find(key);

	return of_type(c, e ? e->value : NULL, type, wrong);
}

void *command_make(struct client *c, struct slice key, enum value_type type)
{
	bool wrong;
	void *value = command_write(c, key, type, &wrong);

	if (value || wrong)
		return value;
	value = value_new(type);
	db_set(key, value);
	return value;
}

void command_drop_empty(struct slice key, const void *value)
{
	if (value_length(value) == 0)
		db_delete(key);
}

void command_remove(struct client *c, enum value_type type,
		    bool (*remove)(void *value, struct slice element))
{
	bool wrong;
	int64_t n = 0;
	void *value = command_write(c, c->argv[1], type, &wrong);

	if (wrong)
		return;
	for (size_t i = 2; i < c->argc && value; i++)
		n += remove(value, c->argv[i]);
	command_changed((uint64_t)n);
	if (value)
		command_drop_empty(c->argv[1], value);
	reply_int(c, n);
}

bool command_integer(struct client *c, struct slice arg, int64_t *n, const char *error)
{
	if (slice_integer(arg, n))
		return true;
	reply_error(c, "%s", error ? error : ERROR_NOT_INTEGER);
	return false;
}

bool command_integer_within(struct client *c, struct slice arg, int64_t min, int64_t max,
			    int64_t *n)
{
	if (!command_integer(c, arg, n, NULL))
		return false;
	if (*n >= min && *n <= max)
		return true;
	reply_error(c, "ERR value is out of range, value must between %lld and %lld",
		    (long long)min, (long long)max);
	return false;
}

bool command_pop_count(struct client *c, int64_t *n)
{
	*n = 1;
	if (c->argc < 3 || (slice_integer(c->argv[2], n) && *n >= 0))
		return true;
	reply_error(c, "ERR value is out of range, must be positive");
	return false;
}

bool command_double(struct client *c, struct slice arg, double *d, const char *error)
{
	if (slice_double(arg, d))
		return true;
	reply_error(c, "%s", error ? error : ERROR_NOT_FLOAT);
	return false;
}
