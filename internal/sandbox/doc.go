// Package sandbox is a host in namespaces of its own, on a machine that it shares.
//
// The server that a keeper starts is the watcher: it starts this program once more as the first process of a user, mount,
// process, IPC, name and network namespace, forwards SIGTERM to it, and has it end with itself. That process arranges the
// files (build), gives up all rights, executes itself once more, and is then the machine of which package agent makes a
// host: it executes agents, and connects to what listens in there. It is asked at a socket that the keeper of the machine
// has opened, and that nobody in the sandbox sees. So it goes on when the program that has asked for it ends, and the next
// one may be another edition.
package sandbox
