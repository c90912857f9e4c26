/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz.h - what the programs fuzz-*.c share. Each reads files, or standard input, or is driven by
 * AFL++.
 *
 * Such a program defines fuzz_begin() and fuzz_one(), and reports an error by abort().
 */
#ifndef COWKV_FUZZ_H
#define COWKV_FUZZ_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FUZZ_MAX ((size_t)1 << 20)

static bool fuzz_begin(void);
static void fuzz_one(const char *data, size_t n);

static char fuzz_data[FUZZ_MAX];

#ifdef __AFL_FUZZ_TESTCASE_LEN
__AFL_FUZZ_INIT();

int main(void)
{
	__AFL_INIT(); /* all that follows runs in the child: an arena does not outlive a fork() */
	if (!fuzz_begin())
		return EXIT_FAILURE;
	const unsigned char *data = __AFL_FUZZ_TESTCASE_BUF;
	while (__AFL_LOOP(1000)) {
		size_t n = (size_t)__AFL_FUZZ_TESTCASE_LEN;
		if (n > FUZZ_MAX)
			continue;
		memcpy(fuzz_data, data, n);
		fuzz_one(fuzz_data, n);
	}
	return EXIT_SUCCESS;
}
#else
static void fuzz_stream(FILE *f)
{
	fuzz_one(fuzz_data, fread(fuzz_data, 1, sizeof fuzz_data, f));
}

int main(int argc, char **argv)
{
	if (!fuzz_begin())
		return EXIT_FAILURE;
	if (argc == 1)
		fuzz_stream(stdin);
	for (int i = 1; i < argc; i++) {
		FILE *f = fopen(argv[i], "rb");
		if (!f) {
			perror(argv[i]);
			return EXIT_FAILURE;
		}
		fuzz_stream(f);
		fclose(f);
	}
	return EXIT_SUCCESS;
}
#endif

#endif
