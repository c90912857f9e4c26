#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# No function of the library is a cancellation point: a thread that ended inside would leave locks
# locked, and all other threads waiting. The table has all functions that POSIX requires or allows
# to be cancellation points (XSH 2.9.5.2; pthreads(7)), and those that glibc adds, without those of
# other libraries. The library makes system calls of these names by syscall(2), which is no
# cancellation point.

srcdir=${srcdir:-.}
: "${NM:=nm}"

points='
	accept aio_suspend clock_nanosleep close connect creat fcntl fdatasync fsync getmsg getpmsg lockf
	mq_receive mq_send mq_timedreceive mq_timedsend msgrcv msgsnd msync nanosleep open openat pause poll pread
	pselect pthread_cond_clockwait pthread_cond_timedwait pthread_cond_wait pthread_join pthread_testcancel putmsg
	putpmsg pwrite read readv recv recvfrom recvmsg select sem_clockwait sem_timedwait sem_wait send sendmsg sendto
	sigpause sigsuspend sigtimedwait sigwait sigwaitinfo sleep system tcdrain usleep wait waitid waitpid write
	writev
	access asctime asctime_r catclose catgets catopen chmod chown closedir closelog ctermid ctime ctime_r dlclose
	dlopen dlsym endgrent endhostent endnetent endprotoent endpwent endservent endutxent faccessat fchmod fchmodat
	fchown fchownat fclose fflush fgetc fgetpos fgets fgetwc fgetws fmtmsg fopen fpathconf fprintf fputc fputs
	fputwc fputws fread freopen fscanf fseek fseeko fsetpos fstat fstatat fstatvfs ftell ftello futimens fwprintf fwrite
	fwscanf getaddrinfo getc getc_unlocked getchar getchar_unlocked getcwd getdate getdelim getgrent getgrgid
	getgrgid_r getgrnam getgrnam_r gethostent gethostid gethostname getline getlogin getlogin_r getnameinfo
	getpwent getpwnam getpwnam_r getpwuid getpwuid_r gets getservent getutxent getutxid getutxline getwc getwchar
	glob iconv_close iconv_open ioctl link linkat lio_listio localtime localtime_r lseek lstat mkdir mkdirat mkdtemp
	mkfifo mkfifoat mknod mknodat mkstemp mktime nftw opendir openlog pathconf pclose perror popen posix_fadvise
	posix_fallocate posix_madvise posix_openpt posix_spawn posix_spawnp posix_typed_mem_open printf psiginfo
	psignal pthread_rwlock_rdlock pthread_rwlock_timedrdlock pthread_rwlock_timedwrlock pthread_rwlock_wrlock putc
	putc_unlocked putchar putchar_unlocked puts pututxline putwc putwchar readdir readdir_r readlink readlinkat
	remove rename renameat rewind rewinddir scandir scanf seekdir semop setgrent sethostent setnetent setprotoent
	setpwent setservent setutxent sigpause stat strerror strerror_r strftime symlink symlinkat sync syslog tmpfile
	tmpnam ttyname ttyname_r tzset ungetc ungetwc unlink unlinkat utimensat utimes vdprintf vfprintf vfwprintf
	vprintf vwprintf wcsftime wordexp wprintf wscanf dprintf
	accept4 epoll_pwait epoll_pwait2 epoll_wait eventfd_read eventfd_write fallocate getrandom getentropy
	name_to_handle_at open_by_handle_at ppoll preadv preadv2 pthread_clockjoin_np pthread_timedjoin_np pwritev
	pwritev2 recvmmsg sendmmsg splice sync_file_range tee vmsplice wait3 wait4 copy_file_range sendfile
	pthread_cancel pthread_exit error warn warnx err errx
'

# OBJECT SYMBOL, and why it does no harm.
exceptions='
	os-linux.o pthread_join      (os_thread_join disables cancellation)
	stats.o fprintf              (to the stream of the caller, without a lock of ours, at the end)
	stats.o fputs                (as before)
	stats.o fputc                (what compilers make of it)
	stats.o fwrite               (as before)
	*.o strerror                 (glibc and musl read translations without such points)
'

tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT

found=
for object in lib/.libs/*.o lib/*.o; do
	case $object in
	*'*'* | lib/*-internal* | lib/.libs/libcowarena*) continue ;;
	esac
	# NM may hold options.
	# shellcheck disable=SC2086
	$NM -u "$object" | sed "s|^|$(basename "$object") |" >>"$tmp/symbols"
	found=yes
done
[ -n "$found" ] || { echo 'no object was found in lib/'; exit 1; }
if grep -Eq ' U (__asan_|__tsan_|__ubsan_|__gcov_|__sanitizer_)' "$tmp/symbols"; then
	echo 'SKIP: the objects are instrumented (a sanitizer or coverage), they call what the tool wants'
	exit 77
fi

# Hardened builds have __NAME_chk, builds for large files NAME64; older C libraries __isoc99_NAME.
POINTS=$points EXCEPTIONS=$exceptions awk '
	BEGIN {
		n = split(ENVIRON["POINTS"], name)
		for (i = 1; i <= n; i++)
			is_point[name[i]] = 1
		lines = split(ENVIRON["EXCEPTIONS"], line, "\n")
		for (i = 1; i <= lines; i++)
			if (split(line[i], part, /[ \t]+/) > 2)
				excepted[part[2] " " part[3]] = 1
	}
	{
		symbol = $NF
		sub(/@.*/, "", symbol)
		sub(/^__isoc[0-9]+_/, "", symbol)
		if (symbol ~ /^__.*_chk$/) {
			sub(/^__/, "", symbol)
			sub(/_chk$/, "", symbol)
		}
		sub(/64$/, "", symbol)
		sub(/_2$/, "", symbol)
		if (symbol in is_point && !($1 " " symbol in excepted) && !("*.o " symbol in excepted)) {
			print $1 ": calls " symbol "(), a point of cancellation: make the system call by syscall(2), or name it among the exceptions in tests/lint-cancel.sh"
			bad = 1
		}
	}
	END { exit bad }' "$tmp/symbols" | sort -u >"$tmp/found"
cat "$tmp/found"
[ ! -s "$tmp/found" ]
