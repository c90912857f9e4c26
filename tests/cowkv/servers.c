/* SPDX-License-Identifier: BSD-2-Clause */
/* servers.c - see servers.h. */
#include "config.h"

#include "../common.h"
#include "servers.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ARGS_MAX 64
#define TRIES 5            /* to find a port that nobody takes before the server does */
#define ANSWER_SECONDS 900 /* the last resort: a machine may be slow */

/* ---- programs ---- */

static bool in_path(const char *name, char *path, size_t size)
{
	char all[4096];
	const char *given = getenv("PATH");

	snprintf(all, sizeof all, "%s", given ? given : "/usr/bin:/bin");
	for (char *rest = all, *dir; (dir = strsep(&rest, ":")) != NULL;) {
		snprintf(path, size, "%s/%s", *dir ? dir : ".", name);
		if (access(path, X_OK) == 0)
			return true;
	}
	return false;
}

const char *servers_redis(const char **why)
{
	static char path[4200];

	/* Debian's redis-check-rdb is the same program, which goes by the name it is called by. */
	if (in_path("redis-server", path, sizeof path) ||
	    in_path("redis-check-rdb", path, sizeof path))
		return path;
	*why = "no redis-server (package redis-server or redis-tools)";
	return NULL;
}

bool servers_need_redis(void)
{
	const char *why;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (servers_redis(&why))
		return true;
	printf("SKIP: %s\n", why);
	return false;
}

static const char *program(enum server_kind kind)
{
	static char cowkv[4096];
	const char *why, *path = getenv("COWKV");

	if (kind == REDIS) {
		path = servers_redis(&why);
		ck_assert_msg(path != NULL, "%s", why);
		return path;
	}
	ck_assert_msg(realpath(path ? path : "src/cowkv/cowkv", cowkv) != NULL,
		      "src/cowkv/cowkv is not there: run this in the build directory");
	return cowkv;
}

/* In a child: become the server, in this directory, with its output in a file there. */
__attribute__((noreturn)) static void become(enum server_kind kind, const char *path,
					     const char *dir, const char *const args[])
{
	const char *argv[ARGS_MAX] = {kind == REDIS ? "./redis-server" : path};
	size_t n = 1;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (; args && *args && n < ARGS_MAX - 1; args++)
		argv[n++] = *args;
	int fd = open("/dev/null", O_RDONLY);
	if (chdir(dir) || fd < 0 || dup2(fd, STDIN_FILENO) < 0)
		_exit(127);
	fd = open("log", O_WRONLY | O_CREAT | O_APPEND, 0644);
	if (fd < 0 || dup2(fd, STDOUT_FILENO) < 0 || dup2(fd, STDERR_FILENO) < 0)
		_exit(127);
	for (fd = 3; fd < 256; fd++)
		close(fd);
	if (kind == REDIS && symlink(path, "redis-server") && errno != EEXIST)
		_exit(127);
	execv(kind == REDIS ? "./redis-server" : path, (char *const *)argv);
	_exit(127);
}

static pid_t spawn(enum server_kind kind, const char *dir, const char *const args[])
{
	const char *path = program(kind);

	fflush(NULL);
	pid_t pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		become(kind, path, dir, args);
	return pid;
}

/* ---- starting and stopping ---- */

static int free_port(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof a;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&a, &size), 0);
	close(fd);
	return ntohs(a.sin_port);
}

void servers_print_log(const struct server *s)
{
	char path[128], line[512];

	snprintf(path, sizeof path, "%s/log", s->dir);
	FILE *f = fopen(path, "r");
	while (f && fgets(line, sizeof line, f))
		printf("    %s", line);
	if (f)
		fclose(f);
	fflush(stdout);
}

static redisContext *connect_to(int port)
{
	redisContext *c =
	    redisConnectWithTimeout("127.0.0.1", port, (struct timeval){ANSWER_SECONDS, 0});

	if (c && !c->err) {
		redisSetTimeout(c, (struct timeval){ANSWER_SECONDS, 0});
		return c;
	}
	if (c)
		redisFree(c);
	return NULL;
}

/* Whether it has come up: it answers, be it that it wants a password, or is loading. */
static bool comes_up(struct server *s)
{
	for (unsigned long naps = 0; await_nap(&naps);) {
		int status;
		if (waitpid(s->pid, &status, WNOHANG) == s->pid) {
			s->pid = 0;
			return false;
		}
		s->link = connect_to(s->port);
		redisReply *r = s->link ? redisCommand(s->link, "PING") : NULL;
		bool up = r && (r->type != REDIS_REPLY_ERROR || strncmp(r->str, "NOAUTH", 6) == 0);
		if (r)
			freeReplyObject(r);
		if (up)
			return true;
		if (s->link)
			redisFree(s->link);
		s->link = NULL;
	}
	return false;
}

struct server *servers_start_in(enum server_kind kind, const char *dir, const char *const args[])
{
	struct server *s = calloc(1, sizeof *s);
	const char *argv[ARGS_MAX] = {NULL};
	char port[8];

	ck_assert_ptr_nonnull(s);
	s->kind = kind;
	s->shares_dir = dir != NULL;
	snprintf(s->dir, sizeof s->dir, "%s", dir ? dir : "/tmp/cowkv-test-XXXXXX");
	ck_assert(dir || mkdtemp(s->dir));
	for (int i = 0; i < TRIES; i++) {
		size_t n = 0;
		s->port = free_port();
		snprintf(port, sizeof port, "%d", s->port);
		argv[n++] = "--port";
		argv[n++] = port;
		if (kind == REDIS) { /* it saves only if the caller says so below */
			argv[n++] = "--save";
			argv[n++] = "";
		}
		for (const char *const *a = args; a && *a && n < ARGS_MAX - 1; a++)
			argv[n++] = *a;
		argv[n] = NULL;
		s->pid = spawn(kind, s->dir, argv);
		if (comes_up(s))
			return s;
	}
	servers_print_log(s);
	ck_abort_msg("%s did not come up: its log is above",
		     kind == REDIS ? "redis-server" : "cowkv");
	return NULL;
}

struct server *servers_start(enum server_kind kind, const char *const args[])
{
	return servers_start_in(kind, NULL, args);
}

static void disconnect(struct server *s)
{
	if (s->link)
		redisFree(s->link);
	s->link = NULL;
	s->in.at = s->in.len = 0;
}

void servers_connect(struct server *s)
{
	disconnect(s);
	s->link = connect_to(s->port);
	ck_assert_msg(s->link != NULL, "cannot connect to port %d", s->port);
}

int servers_socket(const struct server *s)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
				.sin_port = htons((uint16_t)s->port),
				.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){ANSWER_SECONDS, 0},
		   sizeof(struct timeval));
	return fd;
}

int servers_end(struct server *s, int signo)
{
	int status = 0;

	disconnect(s);
	if (!s->pid)
		return 0;
	if (signo)
		kill(s->pid, signo);
	ck_assert_int_eq(waitpid(s->pid, &status, 0), s->pid);
	s->pid = 0;
	return status;
}

static void remove_dir(const char *path)
{
	DIR *d = opendir(path);

	for (const struct dirent *e; d && (e = readdir(d)) != NULL;)
		if (e->d_name[0] != '.')
			unlinkat(dirfd(d), e->d_name, 0);
	if (d)
		closedir(d);
	rmdir(path);
}

void servers_free(struct server *s)
{
	if (!s)
		return;
	servers_end(s, SIGKILL);
	if (!s->shares_dir)
		remove_dir(s->dir);
	free(s->in.data);
	free(s);
}

int servers_run(enum server_kind kind, const char *const args[], char *output, size_t size)
{
	char dir[] = "/tmp/cowkv-test-XXXXXX", path[64];
	int status;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	pid_t pid = spawn(kind, dir, args);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	snprintf(path, sizeof path, "%s/log", dir);
	FILE *f = fopen(path, "r");
	size_t n = f ? fread(output, 1, size - 1, f) : 0;
	output[n] = 0;
	if (f)
		fclose(f);
	remove_dir(dir);
	return status;
}
