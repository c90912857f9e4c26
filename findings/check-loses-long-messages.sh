#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
#
# Check: a test that fails with a message of 4,089 characters or more is not reported with that message, nor as a
# failure. Its process ends with status 2 while it packs the message, and the report says "Early exit with return value 2",
# as if the code under test had called exit(). "Message string too long" goes to the standard error of the child. Who puts
# the output of a child or of a sanitizer into ck_abort_msg() loses the report just when there is much to report: cut
# such text short.
#
# Seen with Check 0.15.2 (Debian 12), CK_FORK unset:
#	4000 characters: F
#	4088 characters: F
#	4089 characters: E, (after this point) Early exit with return value 2
#
# Needs Debian's apt-get and a C compiler. Exit status: 0 if it is still so, 1 if not.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
apt-get -qq download check=0.15.2-2+b1 libsubunit-dev=1.4.0-3 2>/dev/null
for package in *.deb; do
	dpkg -x "$package" root
done
cat >test.c <<'END'
#include <check.h>
#include <string.h>

START_TEST(fails)
{
	static char text[5000];

	memset(text, 'x', (size_t)_i);
	ck_abort_msg("%s", text);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("messages");
	TCase *tc = tcase_create("lengths");
	static const int lengths[] = {4000, 4088, 4089};

	for (int i = 0; i < 3; i++)
		tcase_add_loop_test(tc, fails, lengths[i], lengths[i] + 1);
	suite_add_tcase(suite, tc);
	srunner_run_all(srunner_create(suite), CK_NORMAL);
	return 0;
}
END
lib=$(dirname "$(find root -name libcheck.a)")
cc -Iroot/usr/include -o test test.c "$lib/libcheck.a" "$lib/libsubunit.a" -pthread -lrt -lm
echo "Check $(sed -n 's/^Version: //p' "$lib/pkgconfig/check.pc")"
./test 2>/dev/null | awk -F: '
	$3 == "F" { print $6 " characters: F" }
	$3 == "E" { print $6 " characters: E," $7 }' >seen
cat seen
cat >wanted <<'END'
4000 characters: F
4088 characters: F
4089 characters: E, (after this point) Early exit with return value 2
END
cmp -s seen wanted
