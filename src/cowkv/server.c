/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * server.c - cowkv: a key-value server that saves from a snapshot in its own process, and never
 * forks for it.
 *
 * One thread runs the event loop and all commands. All data are in one arena (heap.h). A save takes
 * a snapshot, which is the only pause, and a thread writes the file from it (save.c). A replica
 * gets its data in the same way (replication.c).
 */
#include "config.h"

#include "base/counters.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/settings.h"
#include "commands.h"
#include "commands/command.h"
#include "commands/leave.h"
#include "commands/pubsub.h"
#include "data/compact.h"
#include "data/db.h"
#include "data/stream.h"
#include "info.h"
#include "net/listen.h"
#include "rdb/save.h"
#include "replication/replication.h"
#include "types/kinds.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define HZ 10
#define EXPIRE_AT_ONCE 1000 /* keys deleted per tenth of a second */
#define STEPS 1000          /* buckets moved per tick of the timer */

#define MANY 20000 /* commands per second that count as load */
#define LOOKS 32   /* looks for events before sleeping under load; some 25 us */

static bool under_load;

/* ---- the loop ---- */

static void cron(struct ev_loop *loop, ev_timer *timer, int events)
{
	static unsigned ticks;
	static uint64_t commands;

	(void)loop;
	(void)timer;
	(void)events;
	if (loop_leaving) /* nothing may change after the last save */
		return;
	under_load = counters.commands - commands > MANY / HZ;
	commands = counters.commands;
	db_tick();
	heap_stale();
	if (!config_is_replica()) {
		db_expiring = DB_DELETES;
		for (int i = 0; i < 10 && db_expire_some(EXPIRE_AT_ONCE / 10); i++)
			;
	}
	dict_shrink(&db->keys);
	dict_step(&db->keys, STEPS);
	save_cron();
	if (ticks++ % HZ == 0) { /* also at the first tick, so that a replica connects at once */
		compact_cron();
		client_cron();
		listen_cron();
		replication_cron();
	}
}

/*
 * Run the event loop until the server leaves. Sleeping and waking cost more than a request, and a
 * server quicker than its clients would sleep before nearly each request. So under load it looks
 * for events several times before it sleeps.
 */
static void loop_run(void)
{
	uint64_t commands = 0;
	unsigned looks = 0;

	while (!loop_leaving) {
		looks = commands == counters.commands ? looks + 1 : 0;
		commands = counters.commands;
		ev_run(main_loop, under_load && looks < LOOKS ? EVRUN_NOWAIT : EVRUN_ONCE);
	}
}

static void before_waiting(struct ev_loop *loop, ev_prepare *prepare, int events)
{
	(void)loop;
	(void)prepare;
	(void)events;
	client_send_all();
}

static void on_signal(struct ev_loop *loop, ev_signal *watcher, int events)
{
	(void)loop;
	(void)events;
	log_line(LOG_WARNING, "Received %s, leaving",
		 watcher->signum == SIGINT ? "SIGINT" : "SIGTERM");
	server_leave(LEAVE_AS_CONFIGURED);
}

static const struct client_kind normal_client = {.name = "normal",
						 .flag = 'N',
						 .answered = true,
						 .bounded = true,
						 .run = command_run,
						 .garbled = reply_garbled,
						 .gone = pubsub_forget};

static void told_of_expiry(struct slice key)
{
	const struct slice argv[] = {SLICE("DEL"), key};

	stream_command(argv, 2);
	db_changes++;
}

/* Allow as many descriptors as maxclients needs; if the system refuses, allow fewer clients. */
static void allow_descriptors(void)
{
	struct rlimit limit;
	rlim_t wanted = config.maxclients + 64;

	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur >= wanted)
		return;
	rlim_t most = limit.rlim_max;
	limit.rlim_cur = wanted < most ? wanted : most;
	if (setrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur < wanted) {
		config.maxclients = limit.rlim_cur > 128 ? limit.rlim_cur - 64 : limit.rlim_cur / 2;
		log_line(LOG_WARNING,
			 "maxclients is %zu: the limit of open files (ulimit -n) allows no more",
			 (size_t)config.maxclients);
	}
}

static bool go_to_background(void)
{
	if (!config.daemonize)
		return true;
	/* Before there is an arena, or any thread. */
	if (daemon(1, 0)) {
		log_line(LOG_WARNING, "Cannot go to the background: %s", strerror(errno));
		return false;
	}
	return true;
}

static bool start(void)
{
	if (chdir(config.dir)) {
		log_line(LOG_WARNING, "Cannot change to directory '%s': %s", config.dir,
			 strerror(errno));
		return false;
	}
	if (*config.logfile && log_open(config.logfile)) {
		log_line(LOG_WARNING, "Cannot open the log file '%s': %s", config.logfile,
			 strerror(errno));
		return false;
	}
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	allow_descriptors();
	if (!loop_open()) {
		log_line(LOG_WARNING, "No event loop");
		return false;
	}
	if (!listen_open() || !go_to_background() || !heap_open(config.capacity, config.cow_limit))
		return false;
	dict_seed();
	info_init();
	kinds_init();
	commands_init();
	db_open();
	db_on_expired = told_of_expiry;
	save_init();
	compact_init();
	replication_init();
	if (!save_load())
		return false;
	log_line(LOG_NOTICE, "cowkv %s, pid %d, port %zu: ready to accept connections, engine %s",
		 PACKAGE_VERSION, (int)getpid(), (size_t)config.port, cowarena_engine_name(heap));
	return true;
}

int main(int argc, char **argv)
{
	ev_timer timer;
	ev_prepare prepare;
	ev_signal interrupt, term;

	config_init();
	config_arguments(argc, argv);
	if (!start())
		return EXIT_FAILURE;
	ev_loop_fork(main_loop); /* the process may have forked since the loop was made */
	ev_timer_init(&timer, cron, 0.0, 1.0 / HZ);
	ev_timer_start(main_loop, &timer);
	ev_prepare_init(&prepare, before_waiting);
	ev_prepare_start(main_loop, &prepare);
	ev_signal_init(&interrupt, on_signal, SIGINT);
	ev_signal_start(main_loop, &interrupt);
	ev_signal_init(&term, on_signal, SIGTERM);
	ev_signal_start(main_loop, &term);
	listen_start(&normal_client);
	loop_run();

	client_send_all(); /* send what can still go out */
	listen_close();
	save_wait();
	replication_close();
	log_line(LOG_NOTICE, "cowkv is leaving, bye bye...");
	while (clients)
		client_close(clients);
	compact_wait();
	heap_close();
	return EXIT_SUCCESS;
}
