// Package serve makes a program lossless that serves a network: whoever restarts it, under load, loses
// no request.
//
//	l, err := serve.Listener("web", "localhost:8080")
//	if err != nil {
//		log.Fatal(err)
//	}
//	if err := serve.Run(ctx, serve.Server(l, &http.Server{Handler: mux})); err != nil {
//		log.Fatal(err)
//	}
//
// Three things make it so. [Listener] takes the socket that the program's parent holds open, so that
// nobody is refused while one process follows another. [Run] says when the program is ready, so that
// its predecessor does not end too early. And [Server] ends as its clients can bear it: it accepts
// nothing more, asks clients to close their connections, waits until nobody waits for an answer, and
// only then shuts the server down.
//
// The parent may be divisi, systemd, or any program that keeps to the conventions of systemd:
// LISTEN_FDS and LISTEN_FDNAMES for sockets, NOTIFY_SOCKET for what the program says of itself,
// WATCHDOG_USEC for signs of life. Without a parent that does, the same program runs alone.
// docs/serve.md has an example, and says what no server can do.
//
// The order of start and end is that of github.com/oklog/run and github.com/thejerf/suture, whose
// Serve(ctx) error is that of [Member]; sockets and states are those of sd_listen_fds(3) and sd_notify(3).
package serve
