/* SPDX-License-Identifier: BSD-2-Clause */
/* engine.c - the record that all engines share. */
#include "config.h"

#include "engine-state.h"
#include "records.h"

int engine_prepare(struct cowarena *arena)
{
	arena->engine_state = records_take(sizeof *arena->engine_state);
	if (!arena->engine_state)
		return -1;
	engine_shed(arena);
	return 0;
}

void engine_shed(struct cowarena *arena)
{
	engine_set_borders(arena, 0);
	*engine_uffd_file(arena) = OS_NO_FILE;
	arena->engine_state->own = NULL;
}

void engine_forget(struct cowarena *arena)
{
	records_give(arena->engine_state, sizeof *arena->engine_state);
	arena->engine_state = NULL;
}

void engine_close(struct cowarena *arena)
{
	if (arena->engine->stop)
		arena->engine->stop(arena);
	if (arena->engine->close)
		arena->engine->close(arena);
	private_close(arena);
}

void engine_abandon(struct cowarena *arena)
{
	if (arena->engine->abandon)
		arena->engine->abandon(arena);
	private_abandon(arena);
}

void engine_drop_inherited(struct cowarena *arena)
{
	os_file_close(engine_uffd_file(arena));
}
