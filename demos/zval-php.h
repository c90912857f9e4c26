/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * zval-php.h - just enough PHP to run the lines of zval.c on the model of zval-model.h.
 *
 * A line holds some of these, where $v stands for $name, $name[5] or $name['key']:
 *
 *	$v = 5;    $v = 'text';    $v = array_fill(0, 5, 'text');    $v = $v;    $v = &$v;
 *	unset($name);    echo $v;    foreach ($v as $v) $v += count($v);
 *	f($v);     calls function f($arg): what follows runs in it, up to a }
 *	g($v);     calls function g(&$arg)
 *
 * Anything else ends the program.
 */
#ifndef COWARENA_DEMOS_ZVAL_PHP_H
#define COWARENA_DEMOS_ZVAL_PHP_H

/* A script begins without variables. At its end they go, and all of their memory must be free. */
void php_begin(void);
void php_end(void);

/* Run a line, with numbers filled in. */
__attribute__((format(printf, 1, 2))) void php_run(const char *format, ...);

/* What the last echo printed. */
extern char php_echoed[];

/* "(refcount=1, is_ref=0)=...", as xdebug_debug_zval() has it; NULL: all variables, a line each.
   To be freed. */
char *php_debug_zval(const char *name);

#endif
