#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# malloc(3) may be served by an arena: then it takes locks that the library holds, and its memory is
# memory that the library protects, rolls back, and lacks in a child of fork(). So no object of the
# library calls malloc(), a function that calls malloc(), or one that reads the locale, except those
# below. doc/design.md, "What the library asks of the C library", has the whole table.

srcdir=${srcdir:-.}
: "${NM:=nm}"

forbidden='malloc|calloc|realloc|reallocarray|free|cfree|aligned_alloc|memalign|posix_memalign|valloc|pvalloc
strdup|strndup|asprintf|vasprintf|getline|getdelim|open_memstream|fmemopen|fopen|fdopen|fclose|popen|opendir|scandir
getcwd|realpath|glob|qsort|qsort_r|tsearch|hcreate|regcomp|backtrace|backtrace_symbols|dlopen|dlsym|dlerror
strerror|strerror_r|__xpg_strerror_r|strerror_l|perror|psignal|strsignal|setlocale|newlocale|localeconv|nl_langinfo
gettext|dgettext|dcgettext|toupper|tolower|isalpha|isspace|isdigit|__ctype_b_loc|strcoll|strtod|strftime|localtime
printf|fprintf|sprintf|snprintf|vprintf|vfprintf|vsnprintf|dprintf|vdprintf|sscanf|fputs|fwrite|puts
__printf_chk|__fprintf_chk|__sprintf_chk|__snprintf_chk|__vsnprintf_chk|__vfprintf_chk
pthread_create|pthread_setspecific|pthread_atfork|pthread_getattr_np|setenv|putenv|syslog|atexit|on_exit
__cxa_thread_atexit_impl|sigsegv_.*'

# OBJECT SYMBOL: why it may.
allowed='
error vsnprintf # numbers, pointers and strings of bytes only: no memory, no locale
error __vsnprintf_chk # the same in hardened builds
error snprintf # the same
error __snprintf_chk
stats fprintf # cowarena_stats_print(): to the FILE of the caller, no lock held
stats fwrite # the same, made of fprintf by the compiler
stats __fprintf_chk
threads pthread_setspecific # before any lock of an arena; what is allocated is the program'"'"'s
os-linux pthread_create # no lock held
trap pthread_atfork # once, with locks that no heap wants
fork pthread_atfork # the same
store-open pthread_atfork # the same
trap-sigsegv sigsegv_init # no memory
trap-sigsegv sigsegv_register # a node for each arena, from malloc; only the lock of forks is held
trap-sigsegv sigsegv_unregister # gives it back
trap-sigsegv sigsegv_dispatch # a search
'

tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT

objects=0
for source in "$srcdir"/lib/*.c; do
	name=$(basename "$source" .c)
	# The objects of the shared library are in .libs; with --disable-shared there are only the plain ones.
	object=lib/.libs/$name.o
	[ -f "$object" ] || object=lib/$name.o
	[ -f "$object" ] || continue
	objects=$((objects + 1))
	# NM may hold options.
	# shellcheck disable=SC2086
	$NM "$object" | sed "s/^/$name /" >>"$tmp/symbols"
done
[ "$objects" -gt 20 ] || { echo "only $objects objects of the library are there"; exit 1; }

if grep -Eq ' U (__asan_|__tsan_|__ubsan_|__gcov_|__sanitizer_)' "$tmp/symbols"; then
	echo "SKIP: the objects are instrumented (a sanitizer or coverage), they call what the tool wants"
	exit 77
fi

status=0
pattern=$(echo "$forbidden" | tr '\n' '|' | sed 's/|$//')
awk '$(NF - 1) == "U" { sub(/@.*/, "", $NF); print $1, $NF }' "$tmp/symbols" | grep -E "^[^ ]+ ($pattern)\$" |
	sort -u >"$tmp/uses"
echo "$allowed" | sed 's/ *#.*//; /^$/d' | sort -u >"$tmp/allowed"
comm -23 "$tmp/uses" "$tmp/allowed" >"$tmp/bad"
while read -r object symbol; do
	echo "$object.o: uses $symbol, which allocates or reads the locale; see tests/lint-allocations.sh"
	status=1
done <"$tmp/bad"
[ -s "$tmp/uses" ] || { echo "no use of vsnprintf was found: this lint is blind"; status=1; }
exit $status
